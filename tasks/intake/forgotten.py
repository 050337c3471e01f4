"""Records that must never come in again: known by hashes, so that the list of them is no copy of them."""

import hashlib
import json
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model import applications
from model.errors import UserError
from tasks.examples import canonical

FILE = "forgotten.txt"  # at the top of the project
NO_TEXT = {"label", "lang", "license", "source_lang", "target_lang", "tags"}  # columns of words that many rows share


@dataclass(frozen=True)
class Forgotten:
    """A set of SHA-256 hashes of records, in hexadecimal."""

    hashes: frozenset[str]

    def holds(self, row: Mapping[str, Any], target: str) -> bool:
        """Whether a row of `corpus` or of an application is to be forgotten: as a whole, by a text of it, by a line of a document."""
        return bool(self.hashes) and not self.hashes.isdisjoint(hashes_of(row, target))

    def listing(self) -> str:
        """What the file holds: one hash a line, sorted."""
        return "".join(f"{one}\n" for one in sorted(self.hashes))


def read(root: Path) -> Forgotten:
    """The project's forgotten records, none if there is no such file.

    Raises:
        UserError: a line of it is no hash.
    """
    file = root / FILE
    lines = file.read_text(encoding="utf-8").split() if file.exists() else []
    for line in lines:
        if len(line) != 64 or line.strip("0123456789abcdef"):
            raise UserError(f"{FILE}: {line:.80} is no SHA-256; take the file from git again")
    return Forgotten(frozenset(lines))


def hash_of_text(text: str) -> str:
    """The hash of a text in NFC, white space made single."""
    return hashlib.sha256(" ".join(unicodedata.normalize("NFC", text).split()).encode()).hexdigest()


def hashes_of(row: Mapping[str, Any], target: str) -> Iterator[str]:
    """All hashes that a row is known by."""
    if target == "corpus":
        yield hash_of_text(row["text"])
        yield from map(hash_of_text, row["text"].split("\n"))
        return
    yield hashlib.sha256(canonical(dict(row)).encode()).hexdigest()
    for name, value in row.items():
        if name not in NO_TEXT and isinstance(value, str):
            yield hash_of_text(value)
        elif name not in NO_TEXT and isinstance(value, list) and all(isinstance(part, str) for part in value):
            yield hash_of_text(" ".join(value))


def records_in(text: str) -> list[str]:
    """The hash of each record that a text lists: a line is one, a text or a row in JSON.

    Raises:
        UserError: a row in JSON is neither `text` alone nor all columns of an application.
    """
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            found.append(_record(f"line {number}", line.strip()))
    return found


def _record(where: str, line: str) -> str:
    try:
        row = json.loads(line) if line.startswith("{") else line
    except (ValueError, RecursionError):  # a text that begins so
        row = line
    if isinstance(row, str):
        return hash_of_text(row)
    if set(row) - {"source", "license", "lang"} == {"text"}:
        return hash_of_text(str(row["text"]))
    columns = {name: set(applications.load(name).SCHEMA.names) for name in applications.names()}
    if set(row) not in columns.values():
        wanted = "; ".join(f"{name}: {', '.join(sorted(known))}" for name, known in columns.items())
        raise UserError(f"{where}: a row with {', '.join(row)}; give `text` alone, or all columns of an application ({wanted})")
    return hashlib.sha256(canonical(row).encode()).hexdigest()
