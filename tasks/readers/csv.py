"""A CSV or TSV file with a header in; its fields, renamed as asked, out."""

import csv
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from model.errors import UserError
from tasks.readers import Refused, Row, text_of


def read(
    files: Sequence[Path],
    columns: Mapping[str, str] | None = None,
    constants: Mapping[str, str] | None = None,
    filled: Sequence[str] = (),
    lead: Mapping[str, str] | None = None,
    delimiter: str = ",",
    encoding: str = "utf-8-sig",
) -> Iterator[Row | Refused]:
    """Rows of the fields as they are named, or of `columns`: {column: field}, and of `constants`: {column: value}.

    Left out are rows where a column of `filled` is empty, and rows where a column of `lead`, {summary: document}, only repeats how the
    other begins.
    """
    csv.field_size_limit(sys.maxsize)
    for file in files:
        reader = csv.DictReader(io.StringIO(text_of(file, encoding), newline=""), delimiter=delimiter)
        wanted = columns or {name: name for name in reader.fieldnames or ()}
        if missing := sorted(set(wanted.values()) - set(reader.fieldnames or ())):
            raise UserError(f"{file.name}: no column {', '.join(missing)}; there is {', '.join(reader.fieldnames or ())}")
        for found in reader:
            if any(found[field] is None for field in wanted.values()):
                yield Refused(f"{file.name}:{reader.line_num}", "fewer fields than the header")
                continue
            row = {column: found[field].strip() for column, field in wanted.items()} | dict(constants or {})
            if all(row[name] for name in filled) and not any(_opens(row[other], row[name]) for name, other in (lead or {}).items()):
                yield row


def _opens(document: str, summary: str) -> bool:
    bare = [" ".join(text.split()).casefold().rstrip(".…") for text in (document, summary)]
    return bare[0].startswith(bare[1])
