"""Plain text files in; documents of whole paragraphs out."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from model.errors import UserError
from tasks.intake.lines import Line, lines_of, paragraphs
from tasks.readers import Refused, Row

PARTS = {"blank": (paragraphs, "\n\n"), "line": (lines_of, "\n")}


def read(
    files: Sequence[Path],
    max_characters: int,
    lang: str | None = None,
    encoding: str = "utf-8-sig",
    paragraph: Literal["blank", "line"] = "blank",
) -> Iterator[Row | Refused]:
    """Rows of the corpus; paragraphs are parted by blank lines, or are lines, and a long file becomes several documents."""
    if paragraph not in PARTS:
        raise UserError(f"reader text: paragraph is {paragraph!r}; say blank or line")
    parts, between = PARTS[paragraph]
    for file in files:
        for document in documents(parts(file, encoding), max_characters, between):
            yield {"text": document, "lang": lang} if isinstance(document, str) else document


def documents(parts: Iterable[Line | Refused], max_characters: int, between: str) -> Iterator[str | Refused]:
    """Consecutive parts joined as long as they fit into `max_characters`; a longer one stays whole, empty ones go."""
    refused: list[Refused] = []

    def texts() -> Iterator[str]:
        for part in parts:
            if isinstance(part, Refused):
                refused.append(part)
            elif part.text.strip():
                yield part.text

    for document in join(texts(), max_characters, between):
        yield from refused
        refused.clear()
        yield document
    yield from refused


def join(pieces: Iterable[str], max_characters: int, between: str) -> Iterator[str]:
    """Consecutive pieces joined as long as they fit into `max_characters`; a longer piece stays whole."""
    held: list[str] = []
    size = 0
    for piece in pieces:
        if held and size + len(between) + len(piece) > max_characters:
            yield between.join(held)
            held, size = [], 0
        size += len(piece) + (len(between) if held else 0)
        held.append(piece)
    if held:
        yield between.join(held)
