"""A CSV or TSV file in; its fields, renamed as asked, out."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from model.errors import UserError
from tasks.intake.lines import LONGEST, lines_of
from tasks.readers import LANGUAGES, Found, Refused, Row, require


def read(
    files: Sequence[Path],
    columns: Mapping[str, str] | None = None,
    constants: Mapping[str, str] | None = None,
    filled: Sequence[str] = (),
    lead: Mapping[str, str] | None = None,
    delimiter: str = ",",
    encoding: str = "utf-8-sig",
    header: Sequence[str] | None = None,
    quoting: Literal["double", "none"] = "double",
    max_lines: int = 1000,
) -> Iterator[Row | Refused]:
    """Rows of the fields as they are named, or of `columns`: {column: field}, and of `constants`: {column: value}.

    Left out are rows where a column of `filled` is empty, and rows where a column of `lead`, {summary: document}, only repeats how the
    other begins. `header` has the names of the fields where the first line is a row already. A field in quotes may have `max_lines`; with
    `quoting` none, a quote is a character like others.

    Raises:
        UserError: a column is missing or there twice, the first line cannot be read, or a quote is never closed.
    """
    form = {"delimiter": delimiter, "quoting": csv.QUOTE_NONE if quoting == "none" else csv.QUOTE_MINIMAL}
    for file in files:
        records = _records(file, encoding, form, max_lines)
        fields = header or _first_line(records)
        if repeated := sorted({name for name in fields if fields.count(name) > 1}):
            raise UserError(f"{file.name}: two columns are called {repeated[0]!r}; rename one in its first line")
        wanted = columns or {name: name for name in fields}
        require(file, wanted, fields, None if header else _naming(wanted))
        for where, record in records:
            if isinstance(record, Refused):
                yield record
            elif len(record) != len(fields):
                yield Refused(where, f"{len(record)} fields, but the header has {len(fields)}")
            else:
                found = dict(zip(fields, record, strict=True))
                row = {column: found[field].strip() for column, field in wanted.items()} | dict(constants or {})
                if all(row[name] for name in filled) and not any(_opens(row[other], row[name]) for name, other in (lead or {}).items()):
                    yield Found(where, row)


def _first_line(records: Iterator[tuple[str, list[str] | Refused]]) -> list[str]:
    for where, record in records:
        if isinstance(record, Refused):
            raise UserError(f"{where}: {record.reason}")
        return record
    return []


def _records(file: Path, encoding: str, form: Mapping[str, Any], max_lines: int) -> Iterator[tuple[str, list[str] | Refused]]:
    """Each record with the place where it begins; blank lines are none. The lines that a stray quote takes in are refused one by one.

    Raises:
        UserError: a quote is never closed.
    """
    refused: list[Refused] = []
    held: list[str] = []  # lines of the record, at most one more than it may have
    first = last = 0  # their numbers

    def lines() -> Iterator[str]:
        nonlocal first, last
        for number, line in enumerate(lines_of(file, encoding), 1):
            if isinstance(line, Refused):
                refused.append(line)
                continue
            first, last = first or number, number
            if len(held) <= max_lines:
                held.append(line.text + "\n")
            yield line.text + "\n"
        if first:
            advice = "close it, or say --option quoting=none if quotes are characters like others in this file"
            raise UserError(f"{file.name}:{first}: a quote that opens in this row is never closed; {advice}")

    csv.field_size_limit(LONGEST)
    try:
        reader = csv.reader(lines(), **form)
    except TypeError as error:
        raise UserError(f"reader csv: delimiter: {error}; give one character") from None
    while True:
        first, record, wrong = 0, None, None
        held.clear()
        try:
            record = next(reader, None)
        except csv.Error as error:
            wrong = f"not CSV: {error}"
        yield from ((one.where, one) for one in refused)
        refused.clear()
        if wrong := wrong or _stray_quote(held, first, last, form, max_lines):
            places = (f"{file.name}:{number}" for number in range(first, last + 1))
            yield from ((place, Refused(place, wrong)) for place in places)
        elif record is None:
            return
        elif record:
            yield f"{file.name}:{first}", record


def _stray_quote(held: list[str], first: int, last: int, form: Mapping[str, Any], max_lines: int) -> str | None:
    """What is wrong with a record of several lines that a quote holds together, or None."""
    if len(held) > max_lines:
        return f"a quote opened in line {first} holds {last - first + 1} lines: close it, or say --option quoting=none or max_lines=N"
    if len(held) > 1:
        try:
            list(csv.reader(held, strict=True, **form))
        except csv.Error:
            return f"a quote opened in line {first} ends in line {last} within a field: close it, or say --option quoting=none"
    return None


def _naming(wanted: Mapping[str, str]) -> str:
    names = ", ".join(name for column, name in wanted.items() if column not in LANGUAGES)
    return f"if its first line is a row already, say the names in their order: --option 'header=[{names}]'"


def _opens(document: str, summary: str) -> bool:
    bare = [" ".join(text.split()).casefold().rstrip(".…") for text in (document, summary)]
    return bare[0].startswith(bare[1])
