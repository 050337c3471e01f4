"""Files that are written whole or not at all."""

import os
from pathlib import Path


def write(root: Path, file: Path, text: str) -> None:
    """Let `file` have `text`: whenever a kill or a power cut comes, it has what it had before or this.

    What is being written lies in `.stemma` meanwhile; `flows/repair/leftovers.py` takes away what a killed writer leaves there.
    """
    partial = root / ".stemma" / f"{file.name}.{os.getpid()}.partial"
    partial.parent.mkdir(exist_ok=True)
    with partial.open("w", encoding="utf-8") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    partial.replace(file)
