"""Files of YAML and JSON that tools write and git merges: read, or one line that says which is broken."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError

from model.errors import UserError


def mapping(name: str, text: str, key: str, remedy: str) -> dict[str, Any]:
    """The content of the file `name`, which has `key`.

    Raises:
        UserError: it is not YAML, or has no such key; `remedy` ends the line.
    """
    try:
        found = YAML(typ="safe").load(text)
    except YAMLError as error:
        raise UserError(f"{name}: not valid YAML ({' '.join(str(error).split())}); {remedy}") from None
    if not isinstance(found, Mapping) or key not in found:
        raise UserError(f"{name}: has no {key}; {remedy}")
    return dict(found)


def remembered(file: Path, remedy: str = "`stemma doctor` takes it away") -> Any:
    """The content of a JSON file of our own.

    Raises:
        UserError: it is damaged; `remedy` ends the line.
        FileNotFoundError: there is none.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file}: damaged ({error}); {remedy}") from None
