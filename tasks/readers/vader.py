"""The ground truth files of the VADER paper (Hutto and Gilbert 2014) in; texts labelled by their mean valence out."""

import html
from collections.abc import Iterator, Sequence
from pathlib import Path

from tasks.intake.lines import lines_of
from tasks.readers import Refused, Row


def read(files: Sequence[Path], threshold: float) -> Iterator[Row | Refused]:
    """Rows of `text` and `label`: `positive` from `threshold` on (valence -4 to 4), `negative` from minus it down, `neutral` between."""
    for file in files:
        for line in lines_of(file):
            if isinstance(line, Refused):
                yield line
                continue
            fields = line.text.split("\t")
            try:
                _, valence, text = fields[0], float(fields[1]), html.unescape("\t".join(fields[2:])).strip()
            except (IndexError, ValueError):
                yield Refused(line.where, "expected an id, a number and a text between tabs")
                continue
            yield {"text": text, "label": "positive" if valence >= threshold else "negative" if valence <= -threshold else "neutral"}
