"""One JSON object a line in; its fields, renamed as asked, out."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tasks.readers import Refused, Row, lines_of


def read(files: Sequence[Path], columns: Mapping[str, str] | None = None, encoding: str = "utf-8-sig") -> Iterator[Row | Refused]:
    """Rows of the fields as they are named, or of `columns`: {column: field}."""
    for file in files:
        for number, line in enumerate(lines_of(file, encoding), 1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except json.JSONDecodeError as error:
                yield Refused(f"{file.name}:{number}", f"not JSON: {error.msg}")
                continue
            if not isinstance(found, dict):
                yield Refused(f"{file.name}:{number}", f"expected an object, got {type(found).__name__}")
                continue
            yield {column: found.get(field) for column, field in columns.items()} if columns else found
