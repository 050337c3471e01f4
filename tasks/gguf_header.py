"""What a GGUF file says about itself, read without its weights.

The format is the ggml project's (docs/gguf.md there): a magic, a version, counts, key-value pairs, then name, shape, type and offset of
each tensor. Transformers reads the weights, through the `gguf` package.
"""

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.errors import UserError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
MAX_DIMENSIONS = 4


@dataclass(frozen=True)
class Header:
    """Its keys, and the shape of each tensor, the dimension that varies fastest first."""

    values: Mapping[str, Any]  # of an array its length
    shapes: Mapping[str, tuple[int, ...]]


def read(file: Path, name: str) -> Header:
    """The header of `file`, which messages call `name`.

    Raises:
        UserError: it is no GGUF file, of a version that is not known, or it ends too soon.
    """
    with file.open("rb") as stream:
        head = stream.read(4)
        if head != MAGIC:
            raise UserError(f"{name}: no GGUF file (it begins with {head!r}, and not with {MAGIC!r}); give another")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            cursor = _Cursor(content, len(MAGIC))
            try:
                return _header(cursor, name)
            except (struct.error, _Damaged):
                raise UserError(f"{name}: a GGUF file with a damaged header (at byte {cursor.at}); get it again") from None


class _Damaged(Exception):
    """What stands there cannot be."""


class _Cursor:
    """A place in a file; little endian, as GGUF is."""

    def __init__(self, content: mmap.mmap, at: int) -> None:
        self.content, self.at = content, at

    def number(self, kind: str) -> Any:
        found = struct.unpack_from(f"<{kind}", self.content, self.at)[0]
        self.at += struct.calcsize(kind)
        return found

    def skip(self, size: int) -> None:
        if self.at + size > len(self.content):
            raise _Damaged
        self.at += size

    def text(self) -> str:
        size = self.number("Q")
        start = self.at
        self.skip(size)
        return self.content[start : self.at].decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            return self.array()
        if kind not in SCALARS:
            raise _Damaged
        return self.number(SCALARS[kind])

    def array(self) -> int:
        kind, length = self.number("I"), self.number("Q")
        if kind in SCALARS:
            self.skip(length * struct.calcsize(SCALARS[kind]))
        elif kind == STRING and length < len(self.content):
            for _ in range(length):
                self.skip(self.number("Q"))
        else:
            raise _Damaged
        return length


def _header(cursor: _Cursor, name: str) -> Header:
    version = cursor.number("I")
    if version not in VERSIONS:
        raise UserError(f"{name}: version {version} of GGUF, and {' and '.join(map(str, VERSIONS))} are known; convert it")
    num_tensors, num_values = cursor.number("Q"), cursor.number("Q")
    if max(num_tensors, num_values) > len(cursor.content):
        raise _Damaged
    values = {}
    for _ in range(num_values):
        key = cursor.text()
        values[key] = cursor.value(cursor.number("I"))
    shapes = {}
    for _ in range(num_tensors):
        tensor, dimensions = cursor.text(), cursor.number("I")
        if dimensions > MAX_DIMENSIONS:
            raise _Damaged
        shapes[tensor] = tuple(cursor.number("Q") for _ in range(dimensions))
        cursor.skip(4 + 8)  # its type and offset
    return Header(values, shapes)
