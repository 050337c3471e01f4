"""Files of one format in, rows out: one module per format, found by its name.

A module of this folder has `read(files, **options)`, a generator of rows (dicts of the target's columns) and of `Refused` for what it
cannot read. Options come from `sources.yaml`. Nothing is registered anywhere: a new format is one new file here.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from model.errors import UserError

Row = dict[str, Any]


@dataclass(frozen=True)
class Refused:
    """Something a reader could not turn into a row."""

    where: str  # the file, and the place in it
    reason: str


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
    try:
        bound = inspect.signature(reader).bind(files, **options)
    except TypeError as error:
        takes = ", ".join(list(inspect.signature(reader).parameters)[1:]) or "none"
        raise UserError(f"reader {name}: {error} among its options; it takes {takes}") from None
    found: Iterator[Row | Refused] = reader(*bound.args, **bound.kwargs)
    return found


def text_of(file: Path, encoding: str = "utf-8-sig") -> str:
    """The text of a file, line ends as `\\n`.

    Raises:
        UserError: it is not text in this encoding.
    """
    try:
        return file.read_text(encoding=encoding)
    except UnicodeDecodeError as error:
        raise UserError(f"{file.name}: not {encoding} at byte {error.start}; give its encoding in the source's options") from None


def lines_of(file: Path, encoding: str = "utf-8-sig") -> list[str]:
    """The lines of a file, without line ends; only `\\n` and `\\r\\n` end a line."""
    lines = text_of(file, encoding).split("\n")
    return lines[:-1] if lines[-1] == "" else lines
