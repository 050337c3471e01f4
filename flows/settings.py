"""params.yaml as the verbs see it: every key checked before anything runs; `-S` and `--profile` written with the comments kept."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

from ruamel.yaml import YAML, YAMLError

from flows import atomic, documents
from flows.data import ingest
from flows.trials import ranges, variants
from model.errors import UserError
from model.params import STRICT, Decoding, Positive
from tasks import params, starting

STAGE = re.compile(r"python -m tasks (\w+)")
TOO_LARGE = 2**63  # for libraries, which count and seed in 64 bits
FREE = frozenset({"run", "ingest", "tune", "ablate"})  # sections that no stage has to read


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
    atomic.write(root, root / "params.yaml", text)


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
        if not equals or not name.strip():
            raise UserError(f"-S {assignment}: expected key=value; write it so, such as run.parallel_stages=1")
        _assign(document, name.strip(), _value(assignment, value))
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
    graph = _stanzas(root)
    known = FREE.union(*(_read(stanza) for stanza in graph.values()))
    for unknown in sorted(set(sections) - known):
        raise UserError(f"params.yaml: {unknown}: unknown section; there is {', '.join(sorted(known))}")
    for name in sorted(sections.keys() & FREE.union(graph, *params.SHARED.values())):
        _check_sections(name, sections[name])
    for name, section in sections.items():
        _check_values(name, section)
    built = dict[str, Any]()
    checkpoints = root / "data" / "pretrained" if (root / "data").is_dir() else None
    for stage, stanza in graph.items():
        for name, section in _sections(stage, stanza, sections):
            module = import_module(f"tasks.{name.partition('.')[0]}")
            if hasattr(module, "Params"):
                with _named_where_it_stands(sections, name):
                    built[name] = params.build(module.Params, section, name)
                    _check_stage(name, built[name], module, checkpoints)
    params.build(Run, params.select(sections, "run"), "run")
    if "ingest" in sections:
        params.build(ingest.Params, sections["ingest"], "ingest")
    if "tune" in sections:
        ranges.settings(sections)
    if "ablate" in sections:
        variants.declared(sections)
    _check_together(built, checkpoints)


def _check_sections(name: str, section: Any) -> None:
    """Whether there are keys where a stage or a verb looks for some: one level of them, or two where a stage has variants."""
    two_levels = name in params.SHARED
    if not isinstance(section, Mapping):
        example = f"-S {name}.KEY{'.KEY' if two_levels else ''}=VALUE"
        raise UserError(f"params.yaml: {name}: a section with keys, got {section!r}; change one of them, as in {example}")
    for key, below in section.items() if two_levels else ():
        _check_sections(f"{name}.{key}", below)


def _check_values(name: str, value: Any) -> None:
    """What JSON can say and libraries hold: YAML knows more, such as dates and infinity."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            _check_values(f"{name}.{key}", below)
    elif isinstance(value, list):
        for below in value:
            _check_values(name, below)
    elif not isinstance(value, str | int | float | None) or value in (math.inf, -math.inf):
        raise UserError(f"params.yaml: {name}: expected a finite number, a word, true, false or null, got {value}; change it")
    elif isinstance(value, int) and abs(value) >= TOO_LARGE:
        raise UserError(f"params.yaml: {name}: {value} does not fit in 64 bits; make it smaller")


def _check_stage(name: str, built: Any, module: ModuleType, checkpoints: Path | None) -> None:
    """What a stage can tell of its numbers before it runs. Without data/ a pretraining tells of its checkpoint itself."""
    stage, _, variant = name.partition(".")
    if stage == "pretrain":
        starting.check_base(variant, built)
        if checkpoints:
            module.check(built, checkpoints)
    if stage == "finetune":
        module.check(built, variant)
    if isinstance(built, Decoding):
        _check_decoding(stage, built)


def _check_decoding(section: str, numbers: Decoding) -> None:
    """What `model.decoding` would say once everything is trained."""
    if numbers.strategy == "beam" and numbers.num_beams < 2:
        raise UserError(f"params.yaml: {section}.num_beams: {numbers.num_beams} is no beam search; set 2 or more, or strategy greedy")
    if numbers.strategy == "top-k" and numbers.top_k < 1:
        raise UserError(f"params.yaml: {section}.top_k: 0 leaves no token to draw; set 1 or more, or strategy temperature")


def _check_together(built: Mapping[str, Any], checkpoints: Path | None) -> None:
    """What stages ask of each other."""
    bases, tunings = (
        {name.partition(".")[2]: numbers for name, numbers in built.items() if name.partition(".")[0] == stage}
        for stage in ("pretrain", "finetune")
    )
    if checkpoints:
        for numbers in bases.values():
            starting.check_positions(numbers, built["tokenizer"].context, checkpoints)
    for name in tunings:
        starting.check(name, tunings, bases, built["tokenizer"].context, checkpoints)


@contextmanager
def _named_where_it_stands(sections: Mapping[str, Any], name: str) -> Iterator[None]:
    """A number that a stage has from a shared section is mended there: the error names that section instead of the stage's."""
    try:
        yield
    except UserError as error:
        key = re.match(rf"params\.yaml: {re.escape(name)}\.(\w+)", str(error))
        shared = [one for one in params.SHARED.get(name.partition(".")[0], ()) if key and key[1] in sections.get(one, {})]
        if key is None or not shared or key[1] in params.select(sections, name):
            raise
        raise UserError(str(error).replace(f"{name}.{key[1]}", f"{shared[-1]}.{key[1]}")) from None


def _stanzas(root: Path) -> dict[str, dict[str, Any]]:
    """Those of dvc.yaml; of the shape that is read here, DVC looks at the rest."""
    stanzas = documents.mapping("dvc.yaml", (root / "dvc.yaml").read_text(encoding="utf-8"), "stages", "mend it")["stages"]
    if not isinstance(stanzas, Mapping):
        raise UserError("dvc.yaml: stages: expected a stage a key; mend it")
    for name, stanza in stanzas.items():
        body = stanza.get("do", stanza) if isinstance(stanza, Mapping) else None
        if not (isinstance(body, Mapping) and isinstance(body.get("cmd"), str) and isinstance(body.get("params", []), list)):
            raise UserError(f"dvc.yaml: stages.{name}: expected `cmd`, one line, and `params`, if there are any, a list; mend it")
    return dict(stanzas)


def _read(stanza: dict[str, Any]) -> set[str]:
    """The top-level sections that a stage reads."""
    body = stanza.get("do", stanza)
    return {*re.findall(r"\$\{(\w+)", str(stanza)), *(str(entry).partition(".")[0] for entry in body.get("params", []))}


def _sections(stage: str, stanza: dict[str, Any], sections: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each (name, section) that `stage` will be run with."""
    body = stanza.get("do", stanza)
    command = STAGE.match(body["cmd"])
    if command and body.get("params"):
        if "foreach" in stanza and f"{stage}.${{key}}" in str(body["params"]):
            keys = [f"{stage}.{key}" for key in params.select(sections, stage)]
        else:
            keys = [stage]
        for name in keys:
            yield name, params.section(sections, name)


def _value(assignment: str, written: str) -> Any:
    try:
        return YAML(typ="safe").load(written)
    except YAMLError as error:
        reason = " ".join(str(error).split("\n")[0].split())
        raise UserError(f"-S {assignment}: not a value ({reason}); in quotes it reaches Stemma whole: -S 'KEY=[one, two]'") from None


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
