"""Rows in any order in; the distinct ones out in the order of their hashes, by way of the disk where they do not fit into memory."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

HELD = 1 << 24  # bytes in memory before they go to disk
SORTED = 1 << 26  # bytes of a part that is sorted in memory; a larger one is parted again
DEEPEST = 3  # times
OVERHEAD = 200  # bytes that a row costs beside its own
HEADER = 4  # bytes of a row's length


class Spill:
    """A set of rows as bytes, parted by the first byte of their SHA-256 and sorted part by part."""

    def __init__(self, folder: Path, depth: int = 0) -> None:
        self.folder = folder
        self._depth = depth
        self._held: dict[int, dict[bytes, bytes]] = {}
        self._size = 0

    def add(self, row: bytes) -> None:
        """Put a row in; the same row twice is there once."""
        self._put(hashlib.sha256(row).digest(), row)

    def drain(self) -> Iterator[bytes]:
        """Take the rows out, in the order of their hashes."""
        for place in range(256):
            held = self._held.pop(place, {})
            file = self.folder / f"{place:02x}"
            if file.exists() and file.stat().st_size > SORTED and self._depth < DEEPEST:
                parts = Spill(self.folder / f"{place:02x}.parts", self._depth + 1)
                for digest, row in _rows(file):
                    parts._put(digest, row)
                file.unlink()
                for digest, row in held.items():
                    parts._put(digest, row)
                yield from parts.drain()
                continue
            if file.exists():
                held.update(_rows(file))
                file.unlink()
            yield from (held[digest] for digest in sorted(held))

    def _put(self, digest: bytes, row: bytes) -> None:
        part = self._held.setdefault(digest[self._depth], {})
        if digest not in part:
            part[digest] = row
            self._size += len(row) + OVERHEAD
        if self._size > HELD:
            self._flush()

    def _flush(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for place, part in self._held.items():
            with (self.folder / f"{place:02x}").open("ab") as stream:
                stream.writelines(digest + len(row).to_bytes(HEADER) + row for digest, row in part.items())
        self._held, self._size = {}, 0


def _rows(file: Path) -> Iterator[tuple[bytes, bytes]]:
    with file.open("rb") as stream:
        while digest := stream.read(hashlib.sha256().digest_size):
            yield digest, _row(stream)


def _row(stream: BinaryIO) -> bytes:
    return stream.read(int.from_bytes(stream.read(HEADER)))
