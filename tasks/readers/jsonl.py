"""One JSON object a line in; its fields, renamed as asked, out."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tasks.intake.json_items import loads, reason, renamed
from tasks.intake.lines import lines_of
from tasks.readers import Refused, Row


def read(files: Sequence[Path], columns: Mapping[str, str] | None = None, encoding: str = "utf-8-sig") -> Iterator[Row | Refused]:
    """Rows of the fields as they are named, or of `columns`: {column: field}."""
    for file in files:
        for line in lines_of(file, encoding):
            if isinstance(line, Refused):
                yield line
            elif line.text.strip():
                yield _row(line.where, line.text, columns)


def _row(where: str, text: str, columns: Mapping[str, str] | None) -> Row | Refused:
    try:
        found = loads(text)
    except ValueError as error:
        return Refused(where, f"not JSON: {reason(error)}")
    if not isinstance(found, dict):
        return Refused(where, f"expected an object, got {type(found).__name__}")
    return renamed(where, found, columns)
