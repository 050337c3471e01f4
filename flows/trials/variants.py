"""Section `ablate` of params.yaml: by name, what a training is compared without, or with. No stage reads it."""

from collections.abc import Mapping
from typing import Any

from model.errors import UserError


def declared(sections: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The numbers that each variant changes.

    Raises:
        UserError: there are none, or one is no mapping of keys to values.
    """
    found = sections.get("ablate")
    if not isinstance(found, Mapping) or not found:
        raise UserError("params.yaml: ablate: no variants are declared; add a line such as `no dropout: {dropout: 0.0}`")
    for name, numbers in found.items():
        if not isinstance(numbers, Mapping) or not numbers or any(isinstance(value, Mapping) for value in numbers.values()):
            raise UserError(f"params.yaml: ablate.{name}: not a mapping of keys to values; write it like `{{dropout: 0.0}}`")
    return {str(name): dict(numbers) for name, numbers in found.items()}


def assigned(numbers: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """The same by dotted name: a key without a dot is one of `stage` (`finetune.sentiment`)."""
    return {key if "." in key else f"{stage}.{key}": value for key, value in numbers.items()}
