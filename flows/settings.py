"""params.yaml as the verbs see it: every key checked before anything runs; `-S` and `--profile` written with the comments kept."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

from ruamel.yaml import YAML

from flows.data import ingest
from flows.trials import ranges, variants
from model.errors import UserError
from model.params import STRICT, Positive
from tasks import params, starting

STAGE = re.compile(r"python -m tasks (\w+)")


@dataclass(frozen=True, kw_only=True)
class Run:
    """Section `run`: what concerns the lifecycle as a whole and changes no result."""

    __pydantic_config__ = STRICT

    parallel_stages: Positive  # stages at once


def preview(root: Path, assignments: Sequence[str] | None = None, profile: str | None = None) -> str | None:
    """The text that `write` would leave in params.yaml, or None if it would not change it; nothing is saved."""
    if assignments or profile is not None:
        return change(root, assignments or (), profile)
    check(root, params.read(root / "params.yaml"))
    return None


def write(root: Path, assignments: Sequence[str] | None = None, profile: str | None = None) -> None:
    """Check params.yaml; with `-S` or `--profile`, write their numbers into it first."""
    text = preview(root, assignments, profile)
    if text is not None:
        save(root, text)


def save(root: Path, text: str) -> None:
    """Write params.yaml whole or not at all."""
    partial = root / "params.yaml.partial"
    partial.write_text(text, encoding="utf-8")
    partial.replace(root / "params.yaml")


def change(root: Path, assignments: Sequence[str] = (), profile: str | None = None) -> str:
    """The text of params.yaml with a profile and then the assignments (`finetune.sentiment.max_steps=50`) written in; nothing is saved.

    Raises:
        UserError: no such profile or key, or the result does not pass `check`.
    """
    params.read(root / "params.yaml")  # says what is wrong with a file that is no YAML
    yaml = YAML()
    yaml.width = 10_000
    yaml.representer.add_representer(type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null"))
    document = yaml.load((root / "params.yaml").read_text(encoding="utf-8"))
    if profile is not None:
        _overlay(document, yaml.load(_profile(root, profile).read_text(encoding="utf-8")))
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise UserError(f"-S {assignment}: no value; write it as key=value, such as run.parallel_stages=1")
        _assign(document, name.strip(), YAML(typ="safe").load(value))
    text = StringIO()
    yaml.dump(document, text)
    check(root, YAML(typ="safe").load(text.getvalue()))
    return text.getvalue()


def check(root: Path, sections: dict[str, Any]) -> None:
    """Build the Params of every stage of dvc.yaml.

    Raises:
        UserError: a key is unknown, missing, of the wrong type or out of range, no stage reads a section, a checkpoint to go on from
            is none, or augmentation does not suit an application.
    """
    graph = YAML(typ="safe").load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    read, bases = {"run", "ingest", "tune", "ablate"}, dict[str, Any]()
    for stage, stanza in graph.items():
        for name, section in _sections(stage, stanza, sections, read):
            module = import_module(f"tasks.{name.partition('.')[0]}")
            if hasattr(module, "Params"):
                built = params.build(module.Params, section, name)
                _check_stage(name, built, module, bases, root / "data")
    params.build(Run, params.select(sections, "run"), "run")
    if "ingest" in sections:
        params.build(ingest.Params, sections["ingest"], "ingest")
    if "tune" in sections:
        ranges.settings(sections)
    if "ablate" in sections:
        variants.declared(sections)
    for unknown in sorted(set(sections) - read):
        raise UserError(f"params.yaml: {unknown}: unknown section; there is {', '.join(sorted(read))}")


def _check_stage(name: str, built: Any, module: ModuleType, bases: dict[str, Any], data: Path) -> None:
    """What a stage can tell of its numbers before it runs; notes the bases in `bases`. Without data/ the stage tells it itself."""
    stage, _, variant = name.partition(".")
    if stage == "pretrain":
        bases[variant] = built
        if data.is_dir():
            module.check(built, data / "pretrained")
    if stage == "finetune":
        module.check(built, variant)
        if data.is_dir() or all(base.init_from is None for base in bases.values()):
            starting.check(built, bases, data / "pretrained")


def _sections(stage: str, stanza: dict[str, Any], sections: dict[str, Any], read: set[str]) -> Iterator[tuple[str, Any]]:
    """Each (name, section) that `stage` will be run with; notes in `read` which top-level sections it uses."""
    body = stanza.get("do", stanza)
    read.update(re.findall(r"\$\{(\w+)", str(stanza)))
    read.update(str(entry).partition(".")[0] for entry in body.get("params", []))
    command = STAGE.match(body["cmd"])
    if command and body.get("params"):
        if "foreach" in stanza and f"{stage}.${{key}}" in str(body["params"]):
            keys = [f"{stage}.{key}" for key in params.select(sections, stage)]
        else:
            keys = [stage]
        for name in keys:
            yield name, params.section(sections, name)


def _profile(root: Path, name: str) -> Path:
    file = root / "profiles" / f"{name}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(other.stem for other in file.parent.glob("*.yaml")))
        raise UserError(f"--profile {name}: no such profile; there is {known}")
    return file


def _overlay(document: Any, values: dict[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(document.get(key), dict):
            _overlay(document[key], value)
        elif document.get(key, ...) != value:
            document[key] = value


def _assign(document: Any, name: str, value: Any) -> None:
    """Set a number; a line that comes to say what its shared sections say loses the key, as it was before somebody set it."""
    *above, last = name.split(".")
    shared = params.SHARED.get(above[0], ()) if len(above) == 2 else ()
    inherited = [section[last] for section in (params.select(document, section) for section in shared) if last in section]
    params.select(document, ".".join(above) if inherited else name)
    for key in above:
        document = document[key]
    if inherited and inherited[-1] == value:
        document.pop(last, None)
    elif last in document:
        document[last] = value
    else:
        document.insert(max(len(document) - 1, 0), last, value)  # not as the last one: the empty line after a section belongs to that
