"""params.yaml in; one stage's frozen Params out, every key checked."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import pydantic
from ruamel.yaml import YAML, YAMLError

from model.errors import UserError

P = TypeVar("P")

SHARED = {"pretrain": ("training",), "finetune": ("training", "finetuning")}  # the sections below a stage's own


def read(path: Path) -> dict[str, Any]:
    """All sections of a params file."""
    try:
        loaded = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run this inside a Stemma project") from None
    except YAMLError as error:
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())}); mend the line it names") from None
    if not isinstance(loaded, dict):
        raise UserError(f"{path}: expected sections by stage; compare with the README")
    return loaded


def select(sections: Mapping[str, Any], name: str) -> Any:
    """The value at a dotted name, such as `finetune.sentiment`."""
    value: Any = sections
    for depth, key in enumerate(name.split("."), 1):
        if not isinstance(value, Mapping) or key not in value:
            known = ", ".join(map(str, value)) if isinstance(value, Mapping) else "nothing below it"
            raise UserError(f"params.yaml: {'.'.join(name.split('.')[:depth])}: no such key; there is {known}")
        value = value[key]
    return value


def section(sections: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The numbers of stage `name` (`pretrain.encoder`): its own section over those it shares with others."""
    stage = name.partition(".")[0]
    numbers: dict[str, Any] = {}
    for shared in SHARED.get(stage, ()):
        numbers |= sections.get(shared, {})  # a commit of before has fewer sections
    return numbers | select(sections, stage if stage in ("evaluate", "assess") else name)


def build(kind: type[P], section: Any, name: str) -> P:
    """`section` as a `kind`, a frozen dataclass with `__pydantic_config__ = STRICT`.

    Raises:
        UserError: a key is unknown, missing, of the wrong type or out of range; the message names it.
    """
    try:
        return pydantic.TypeAdapter(kind).validate_json(json.dumps(section), strict=True)  # JSON mode builds nested dataclasses
    except pydantic.ValidationError as error:
        raise UserError(_explain(error, name)) from None


def _explain(error: pydantic.ValidationError, name: str) -> str:
    unknown = ("unexpected_keyword_argument", "extra_forbidden")
    first = min(error.errors(), key=lambda one: one["type"] not in unknown)  # a misspelt key is missing too: the spelling says more
    key = ".".join([name, *(str(part) for part in first["loc"])])
    if first["type"] in unknown:
        return f"params.yaml: {key}: unknown key; remove it or mend its spelling"
    if first["type"] in ("missing", "missing_argument"):
        return f"params.yaml: {key}: missing; add it (profiles/ has a value for each profile)"
    if first["type"] == "value_error":  # of several keys together
        return f"params.yaml: {key}: {first['ctx']['error']}"
    return f"params.yaml: {key}: {first['msg'].lower()}, got {first['input']!r}; change it"
