"""The identity of a checkpoint, or of anything else that is a folder: Stemma's own hash, of names and contents."""

import hashlib
from pathlib import Path


def hash_of(folder: Path) -> str:
    """SHA-256 over the name and content of every file in a folder."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*"), key=lambda file: file.relative_to(folder).as_posix()):
        if file.is_file():
            with file.open("rb") as opened:
                content = hashlib.file_digest(opened, "sha256").hexdigest()
            digest.update(f"{file.relative_to(folder).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()
