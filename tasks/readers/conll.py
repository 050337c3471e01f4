"""CoNLL columns (a token a line, a blank line between sentences, a column of roles for each predicate) in; propositions out.

By default the columns are those of CoNLL-2012 (Pradhan et al. 2012). For CoNLL-2005: token 0, predicate 4 or 5, roles the next, after 0.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tasks.intake.lines import LONGEST, TOO_LONG, lines_of
from tasks.readers import Refused, Row

ROLE = re.compile(r"\(([^()*\s]+)")
NONE = {"-", "_"}


def read(
    files: Sequence[Path], token: int = 3, predicate: int = 7, roles: int = 11, after: int = 1, encoding: str = "utf-8-sig"
) -> Iterator[Row | Refused]:
    """Rows of `tokens`, `predicate` and `tags` (BIO), one for each predicate.

    Columns count from 0: `predicate` is `-` where there is none, `roles` is the first of those with brackets, `after` how many follow them.
    """
    for file in files:
        for sentence in _sentences(file, encoding):
            if isinstance(sentence, Refused):
                yield sentence
                continue
            where, rows = sentence
            try:
                yield from _propositions(rows, token, predicate, roles, after)
            except ValueError as error:
                yield Refused(where, str(error))


def _sentences(file: Path, encoding: str) -> Iterator[tuple[str, list[list[str]]] | Refused]:
    """The cells of each sentence with its place; one with a refused line is refused whole."""
    where, rows, size = "", list[list[str]](), 0
    broken: Refused | None = None
    for line in lines_of(file, encoding):
        if isinstance(line, Refused):
            broken = broken or line
        elif line.text.startswith(("#begin", "#end", "# ")):  # marks of documents, comments
            continue
        elif line.text.strip():
            where = where if rows else line.where
            size += len(line.text)
            if size > LONGEST:
                broken, rows = broken or Refused(where, TOO_LONG), []
            rows.append(line.text.split())
        else:
            if broken or rows:
                yield broken or (where, rows)
            rows, size, broken = [], 0, None
    if broken or rows:
        yield broken or (where, rows)


def _propositions(rows: list[list[str]], token: int, predicate: int, roles: int, after: int) -> list[Row]:
    """All rows of a sentence.

    Raises:
        ValueError: a line is too short, or brackets do not fit.
    """
    if not all(len(cells) > max(token, predicate) for cells in rows):
        raise ValueError(f"fewer than {max(token, predicate) + 1} columns")
    places = [place for place, cells in enumerate(rows) if cells[predicate] not in NONE]
    if not all(len(cells) == roles + len(places) + after for cells in rows):
        raise ValueError(f"expected {roles} columns, {len(places)} of roles and {after} after them")
    tokens = [cells[token] for cells in rows]
    return [
        {"tokens": tokens, "predicate": place, "tags": _tags([cells[roles + number] for cells in rows], place)}
        for number, place in enumerate(places)
    ]


def _tags(cells: list[str], predicate: int) -> list[str]:
    """`(ARG0*`, `*`, `*)` as BIO tags, the predicate `V`."""
    tags, role = [], ""
    for cell in cells:
        opened = ROLE.findall(cell)
        if len(opened) > 1 or (opened and role) or (")" in cell and not (opened or role)):
            raise ValueError(f"brackets inside each other, or closed twice: {cell:.60}")
        role = opened[0] if opened else role
        tags.append(f"{'B' if opened else 'I'}-{role}" if role else "O")
        role = "" if ")" in cell else role
    if role:
        raise ValueError(f"({role} is never closed")
    if tags[predicate] == "O":
        tags[predicate] = "B-V"
    return tags
