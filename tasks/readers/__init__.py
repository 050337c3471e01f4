"""Files of one format in, rows out: one module per format, found by its name.

A module of this folder has `read(files, **options)`, a generator of rows (dicts of the target's columns; as `Found` they know their
place) and of `Refused` for what it cannot read. Options come from `sources.yaml`. Nothing is registered anywhere: a new format is one new
file here. Files may be larger than memory: `tasks/intake/lines.py`, `tasks/intake/json_items.py` and `tasks/intake/xml_items.py` read them
piece by piece.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pydantic

from model.errors import UserError

Row = dict[str, Any]

LANGUAGES = {"source_lang", "target_lang"}  # columns that few files have
BOTH_LANGUAGES = "`--lang en:zh` says both languages of all rows"


@dataclass(frozen=True)
class Refused:
    """Something a reader could not turn into a row."""

    where: str  # the file, and the place in it
    reason: str
    counts: bool = True  # as a row; False for a file that is no data, such as a picture among texts


class Found(Row):
    """A row with its place, for whoever refuses it."""

    def __init__(self, where: str, row: Row) -> None:
        super().__init__(row)
        self.where = where  # the file, and the line or the number in it


def require(file: Path, columns: Mapping[str, str], there: Sequence[str], advice: str | None = None) -> None:
    """See that all of `columns`, {column: name in the file}, are in a file with the columns `there`; `advice` is for where none is.

    Raises:
        UserError: one is not.
    """
    if missing := {column: name for column, name in columns.items() if name not in there}:
        shown = (f"{' '.join(name.split()):.40}" for name in there)
        told = f"{file.name}: no column {', '.join(sorted(missing.values()))}; there is {', '.join(shown)}"
        spoken = [BOTH_LANGUAGES] if missing.keys() & LANGUAGES else []
        named = [f"`--column {column}=NAME` says which one is meant" for column in missing if column not in LANGUAGES][:1]
        lost = [advice] if advice and len(missing) == len(columns) else []
        raise UserError("; ".join([told, *spoken, *named, *lost]))


def names() -> list[str]:
    """The formats there are."""
    return sorted(file.stem for file in Path(__file__).parent.glob("*.py") if file.stem != "__init__")


def read(name: str, files: Sequence[Path], options: Mapping[str, Any]) -> Iterator[Row | Refused]:
    """The rows of `files`, as the reader called `name` finds them.

    Raises:
        UserError: there is no such reader, or it does not take these options.
    """
    if name not in names():
        raise UserError(f"reader {name}: no such reader; there is {', '.join(names())}, or add tasks/readers/{name}.py")
    reader = import_module(f"{__name__}.{name}").read
    signature = inspect.signature(reader)
    try:
        bound = signature.bind(files, **{option: _fitting(name, signature, option, value) for option, value in options.items()})
    except TypeError as error:
        takes = ", ".join(list(signature.parameters)[1:]) or "none"
        raise UserError(f"reader {name}: {error} among its options; it takes {takes}") from None
    found: Iterator[Row | Refused] = reader(*bound.args, **bound.kwargs)
    return found


def _fitting(name: str, signature: inspect.Signature, option: str, value: Any) -> Any:
    """An option's value as the type that the reader's signature asks for; unknown options are left to `bind`."""
    parameter = signature.parameters.get(option)
    if parameter is None or parameter.annotation is inspect.Parameter.empty:
        return value
    try:
        return pydantic.TypeAdapter(parameter.annotation).validate_python(value)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"reader {name}: {option}: {first['msg'].lower()}, got {value!r:.60}; change it") from None
