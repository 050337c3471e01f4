"""`python -m tasks STAGE[.VARIANT] PATH...`: run one stage as dvc.yaml says, and nothing besides.

The only module that knows both a stage and its surroundings: it reads params.yaml, checks that the code fingerprint speaks of the installed
libraries, hands the stage its paths and a Session, and writes the numbers it returns. It is deliberately outside every fingerprint. What a
person may want to see meanwhile goes to files that whoever started it names: how far it is, and the points of its curves.
"""

import argparse
import errno
import gc
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from model.errors import UserError
from tasks import code as fingerprints
from tasks import params, ranks
from tasks.session import Session

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
RUST_ERROR = re.compile(r"\(os error (\d+)\)")  # what safetensors and tokenizers say in errors of their own


def main(arguments: list[str]) -> int:
    gc.set_threshold(50_000)  # the libraries a stage imports are no garbage: looking for some takes a sixth of its start
    parser = argparse.ArgumentParser(prog="python -m tasks", description=__doc__)
    parser.add_argument("stage", help="a module of tasks/, with .VARIANT where dvc.yaml says @VARIANT")
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--code", type=Path, help="the fingerprint of the code that this stage can reach")
    parser.add_argument("--metrics", type=Path, help="where the stage's numbers go")
    parser.add_argument("--rank", type=int, help="of a process that a training on several has started for itself")
    parser.add_argument("--port", type=int, help="at which that one meets rank 0")
    options = parser.parse_args(arguments)
    if options.rank:
        ranks.on_leash()
    try:
        if options.rank:
            follow(options.stage, options.paths, options.rank, options.port)
        else:
            run_stage(options.stage, options.paths, options.code, options.metrics)
    except UserError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except Exception as error:
        if (number := _system_error(error)) not in FULL:
            raise
        print(f"{options.paths[-1]}: {os.strerror(number)}; make room on its disk, then `stemma run` goes on", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def run_stage(name: str, paths: list[Path], code: Path | None, metrics: Path | None) -> None:
    """Run stage `name`; its metrics are written last, so that a file there means that everything else is there."""
    if code is not None:
        fingerprints.check_installed(code)
    run, arguments = _stage(name)
    session = Session(
        checkpoints=_checkpoints(name),
        log=Curve(os.environ.get("STEMMA_CURVE")),
        progress=Progress(os.environ.get("STEMMA_PROGRESS")),
    )
    with ranks.leading(_num_processes(arguments), [name, *map(str, paths)]):
        numbers = run(*paths, **arguments, session=session)
    if code is not None:
        fingerprints.check_loaded(code)
    if metrics is not None:
        metrics.parent.mkdir(parents=True, exist_ok=True)
        metrics.write_text(json.dumps(numbers, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def follow(name: str, paths: list[Path], rank: int, port: int) -> None:
    """Take part in a stage that another process runs; write and tell nothing."""
    run, arguments = _stage(name)
    silent = Session(checkpoints=_checkpoints(name), log=lambda step, values: None, progress=lambda done, total: None, leads=False)
    with ranks.following(rank, _num_processes(arguments), port):
        run(*paths, **arguments, session=silent)


def _stage(name: str) -> tuple[Callable[..., dict[str, float]], dict[str, Any]]:
    """The `run` of a stage, and what it takes besides paths and session."""
    stage, _, variant = name.partition(".")
    module = import_module(f"tasks.{stage}")
    arguments: dict[str, Any] = {}
    if hasattr(module, "Params"):
        section = params.section(params.read(Path("params.yaml")), name)
        arguments["params"] = params.build(module.Params, section, name)
    if "variant" in inspect.signature(module.run).parameters:
        arguments["variant"] = variant
    return module.run, arguments


def _num_processes(arguments: Mapping[str, Any]) -> int:
    return getattr(arguments.get("params"), "num_processes", 1)


def _checkpoints(name: str) -> Path:
    return Path(".stemma/checkpoints", name.replace(".", "@", 1), os.environ.get("STEMMA_KEY", "by-hand"))


def _system_error(error: Exception) -> int:
    """The errno behind an error, 0 if there is none."""
    found = RUST_ERROR.search(str(error))
    return (error.errno if isinstance(error, OSError) else int(found[1]) if found else 0) or 0


class Curve:
    """Appends each point, a line of JSON, for whoever shows the curves; to nowhere when nobody asked.

    The file begins anew: a stage that goes on from a checkpoint tells the points before it again.
    """

    def __init__(self, file: str | None) -> None:
        self.file = Path(file) if file else None
        if self.file:
            self.file.write_bytes(b"")

    def __call__(self, step: int, values: Mapping[str, float]) -> None:
        if self.file:
            with self.file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"step": step, **values}) + "\n")


class Progress:
    """Writes how far the stage is, for whoever draws the bar; to nowhere when nobody asked."""

    def __init__(self, file: str | None) -> None:
        self.file = Path(file) if file else None

    def __call__(self, done: int, total: int) -> None:
        if self.file:
            partial = self.file.with_suffix(".partial")
            partial.write_text(json.dumps({"done": done, "total": total}), encoding="utf-8")
            partial.replace(self.file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
