"""A CSV or TSV file with a header in; its fields, renamed as asked, out."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from model.errors import UserError
from tasks.intake.lines import LONGEST, lines_of
from tasks.readers import Refused, Row, require


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
    for file in files:
        records = _records(file, delimiter, encoding)
        header = next((record for _, record in records if not isinstance(record, Refused)), [])
        if repeated := sorted({name for name in header if header.count(name) > 1}):
            raise UserError(f"{file.name}: two columns are called {repeated[0]!r}; rename one in its first line")
        wanted = columns or {name: name for name in header}
        require(file, wanted, header)
        for where, record in records:
            if isinstance(record, Refused):
                yield record
            elif len(record) != len(header):
                yield Refused(where, f"{len(record)} fields, but the header has {len(header)}")
            else:
                found = dict(zip(header, record, strict=True))
                row = {column: found[field].strip() for column, field in wanted.items()} | dict(constants or {})
                if all(row[name] for name in filled) and not any(_opens(row[other], row[name]) for name, other in (lead or {}).items()):
                    yield row


def _records(file: Path, delimiter: str, encoding: str) -> Iterator[tuple[str, list[str] | Refused]]:
    """Each record with its place; blank lines are none. A quote that never ends takes at most LONGEST characters with it."""
    refused: list[Refused] = []

    def lines() -> Iterator[str]:
        for line in lines_of(file, encoding):
            if isinstance(line, Refused):
                refused.append(line)
            else:
                yield line.text + "\n"

    csv.field_size_limit(LONGEST)
    try:
        reader = csv.reader(lines(), delimiter=delimiter)
    except TypeError as error:
        raise UserError(f"reader csv: delimiter: {error}; give one character") from None
    while True:
        record: list[str] | Refused | None
        try:
            record = next(reader, None)
        except csv.Error as error:
            record = Refused(f"{file.name}:{reader.line_num}", f"not CSV: {error}")
        yield from ((one.where, one) for one in refused)
        refused.clear()
        if record is None:
            return
        if record:
            yield f"{file.name}:{reader.line_num}", record


def _opens(document: str, summary: str) -> bool:
    bare = [" ".join(text.split()).casefold().rstrip(".…") for text in (document, summary)]
    return bare[0].startswith(bare[1])
