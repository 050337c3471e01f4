"""Plain text files in; documents of whole paragraphs out."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tasks.readers import Row, text_of


def read(files: Sequence[Path], max_characters: int, lang: str | None = None, encoding: str = "utf-8-sig") -> Iterator[Row]:
    """Rows of the corpus; blank lines part paragraphs, and a long file becomes several documents."""
    for file in files:
        paragraphs = (part.strip() for part in text_of(file, encoding).split("\n\n"))
        for document in join(filter(None, paragraphs), max_characters, "\n\n"):
            yield {"text": document, "lang": lang}


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
