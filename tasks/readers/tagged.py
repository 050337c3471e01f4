"""Tagged newspaper text (`word/tag  word/tag`, one paragraph a line) in; documents of plain text out."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tasks.intake.lines import Line, lines_of
from tasks.readers import Refused, Row
from tasks.readers.text import documents

TAG = re.compile(r"/[A-Za-z]+$")


def read(files: Sequence[Path], max_characters: int, separator: str = "", lang: str | None = None) -> Iterator[Row | Refused]:
    """Rows of the corpus: the words joined by `separator` (empty for Chinese), consecutive lines up to `max_characters`."""
    for file in files:
        plain = (line if isinstance(line, Refused) else Line(line.where, _plain(line.text, separator)) for line in lines_of(file))
        for document in documents(plain, max_characters, "\n"):
            yield {"text": document, "lang": lang} if isinstance(document, str) else document


def _plain(tagged: str, separator: str) -> str:
    return separator.join(TAG.sub("", token) for token in tagged.split())
