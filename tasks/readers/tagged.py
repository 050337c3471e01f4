"""Tagged newspaper text (`word/tag  word/tag`, one paragraph a line) in; documents of plain text out."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tasks.readers import Row, lines_of
from tasks.readers.text import join

TAG = re.compile(r"/[A-Za-z]+$")


def read(files: Sequence[Path], max_characters: int, separator: str = "", lang: str | None = None) -> Iterator[Row]:
    """Rows of the corpus: the words joined by `separator` (empty for Chinese), consecutive lines up to `max_characters`."""
    for file in files:
        plain = (separator.join(TAG.sub("", token) for token in line.split()) for line in lines_of(file))
        for document in join(filter(None, plain), max_characters, "\n"):
            yield {"text": document, "lang": lang}
