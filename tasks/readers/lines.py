"""One text a line, one file a label in; labelled texts out."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from model.errors import UserError
from tasks.intake.lines import lines_of
from tasks.readers import Refused, Row


def read(files: Sequence[Path], labels: Mapping[str, str], encoding: str = "utf-8-sig") -> Iterator[Row | Refused]:
    """Rows of `text` and `label`; `labels` has the label of each file by its name without ending."""
    for file in files:
        if file.stem not in labels:
            raise UserError(f"reader lines: {file.name} has no label; name it in the source's options.labels")
        for line in lines_of(file, encoding):
            if isinstance(line, Refused):
                yield line
            elif text := line.text.strip():
                yield {"text": text, "label": labels[file.stem]}
