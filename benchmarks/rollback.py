"""Going back with `stemma rollback`, and the same done by hand: git checkout, dvc checkout, dvc repro, aliases, commit.

`python -m benchmarks.rollback PROJECT FIRST SECOND [--times 5]` goes back and forth between two commits of a project (a copy)
by either way in turn, with `stemma up` running there if that is to be measured, and prints seconds on the clock and on the processors.
By hand, nothing is verified and nothing says who moved an alias.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from flows import environment

CODE = Path(__file__).parents[1]
OURS = f"import sys; sys.path.insert(0, {str(CODE)!r}); from pathlib import Path; from flows.cli import main; main(Path.cwd())"
ALIASES = "import json, sys; from mlflow import MlflowClient; client = MlflowClient(sys.argv[1]); "
ALIASES += "[client.set_registered_model_alias(name, 'champion', version) for name, version in json.loads(sys.argv[2])]"
FILES = ("data.dvc", "dvc.lock", "params.yaml", "sources.yaml", "metrics")

Way = Callable[[Path, str], None]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, help="a copy of a project; it is changed")
    parser.add_argument("first", help="a commit of it with data.dvc and dvc.lock")
    parser.add_argument("second", help="another")
    parser.add_argument("--times", type=int, default=5, help="how often by each way in each direction")
    given = parser.parse_args()
    root = given.project.resolve()
    environment.quiet(root)
    environment.record(root)
    champions = {ref: _champions(root, ref) for ref in (given.first, given.second)}
    ways: dict[str, Way] = {"stemma rollback": _ours, "by hand": lambda root, ref: _by_hand(root, ref, champions[ref])}
    clock, processors = defaultdict(list), defaultdict(list)
    for turn in range(2 * given.times):
        order = list(ways) if turn % 2 else list(ways)[::-1]
        for name, ref in zip(order, (given.first, given.second), strict=True):
            began, used = perf_counter(), _used()
            ways[name](root, ref)
            clock[name].append(perf_counter() - began)
            processors[name].append(_used() - used)
    for name in ways:
        _print(f"{name:<16} {_told(clock[name])} s on the clock, {_told(processors[name])} s of processor time")
    for what, seconds in (("clock", clock), ("processors", processors)):
        ours, theirs = (statistics.median(seconds[name]) for name in ways)
        _print(f"by hand takes {theirs / ours:.2f} times as long on the {what}")


def _ours(root: Path, ref: str) -> None:
    _call(root, sys.executable, "-c", OURS, "rollback", ref, "--yes")


def _by_hand(root: Path, ref: str, champions: list[tuple[str, int]]) -> None:
    _call(root, "git", "checkout", "-q", ref, "--", *FILES)
    _call(root, sys.executable, "-m", "dvc", "checkout", "-q", "--force")
    _call(root, sys.executable, "-m", "dvc", "repro", "-q")
    _call(root, sys.executable, "-c", ALIASES, f"sqlite:///{root / '.stemma/mlflow/mlflow.db'}", json.dumps(champions))
    _call(root, "git", "commit", "-qm", f"Back to {ref}", "--allow-empty", "--", *FILES)


def _champions(root: Path, ref: str) -> list[tuple[str, int]]:
    """Of each model the version whose checkpoint dvc.lock has at a commit, found out beforehand: by hand it takes longest of all."""
    from tasks.registry import records

    lock = subprocess.run(["git", "show", f"{ref}:dvc.lock"], cwd=root, capture_output=True, text=True, check=True).stdout
    return [(one.name, one.version) for one in records.versions(root) if one.tags[f"stemma.hash.finetune.{one.name}"] in lock]


def _call(root: Path, *command: str) -> None:
    person = {f"GIT_{role}_{what}": "bench@localhost" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    ended = subprocess.run(command, cwd=root, env=os.environ | person, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)}: {ended.stderr}")


def _used() -> float:
    """Seconds of processor time that the commands have taken so far."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def _told(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
