"""A JSON file with an array of objects, its own or one of its object, in; their fields, renamed as asked, out."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tasks.intake.json_items import items_of, renamed
from tasks.readers import Refused, Row


def read(files: Sequence[Path], columns: Mapping[str, str] | None = None, encoding: str = "utf-8-sig") -> Iterator[Row | Refused]:
    """Rows of the fields as they are named, or of `columns`: {column: field}."""
    for file in files:
        for item in items_of(file, encoding):
            if isinstance(item, Refused):
                yield item
            elif not isinstance(item.value, dict):
                yield Refused(item.where, f"expected an object, got {type(item.value).__name__}")
            else:
                yield renamed(item.where, item.value, columns)
