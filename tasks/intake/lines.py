"""Text files in; their lines out, decoded, one at a time: however large a file or a line, memory stays within a bound."""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from model.errors import UserError
from tasks.readers import Refused

CHUNK = 1 << 20  # bytes read at once
LONGEST = 1 << 25  # bytes of one line, one element of JSON or XML, one page: 32 MiB; what is longer is refused
WIDE = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
TOO_LONG = f"longer than {LONGEST:,} bytes"


class Line(NamedTuple):
    """A line without its end."""

    where: str  # the file's name and the line's number
    text: str


def lines_of(file: Path, encoding: str = "utf-8-sig") -> Iterator[Line | Refused]:
    """The lines of a file, ended by `\\n`, `\\r\\n` or `\\r`; those that are too long or not text in this encoding are refused.

    A file that begins with the mark of UTF-16 or UTF-32 is read as such.

    Raises:
        UserError: there is no such encoding.
    """
    encoding = encoding_of(file, encoding)
    if b"\0" in "\n".encode(encoding):  # UTF-16, UTF-32: an end of line is no single byte
        yield from _wide_lines(file, encoding)
        return
    narrow = "utf-8" if encoding == "utf-8-sig" else encoding
    for number, piece in enumerate(_pieces(file), 1):
        where = f"{file.name}:{number}"
        if piece is None:
            yield Refused(where, TOO_LONG)
            continue
        if number == 1 and encoding == "utf-8-sig":
            piece = piece.removeprefix(codecs.BOM_UTF8)
        try:
            yield Line(where, piece.decode(narrow))
        except UnicodeDecodeError as error:
            yield Refused(where, _not_in(encoding, error))


def paragraphs(file: Path, encoding: str = "utf-8-sig") -> Iterator[Line | Refused]:
    """The text between blank lines, stripped; a line that is refused ends a paragraph."""
    held: list[str] = []
    size = 0
    where = ""
    for line in lines_of(file, encoding):
        text = "" if isinstance(line, Refused) else line.text
        if held and (not text or size > LONGEST):
            yield Line(where, "\n".join(held).strip())
            held, size = [], 0
        if isinstance(line, Refused):
            yield line
        elif text:
            where = where if held else line.where
            held.append(text)
            size += len(text)
    if held:
        yield Line(where, "\n".join(held).strip())


def text_of(file: Path, encoding: str = "utf-8-sig") -> str | Refused:
    """The text of a whole page, line ends as `\\n`."""
    if file.stat().st_size > LONGEST:
        return Refused(file.name, TOO_LONG)
    encoding = encoding_of(file, encoding)
    try:
        return file.read_text(encoding=encoding)
    except UnicodeDecodeError as error:
        return Refused(file.name, _not_in(encoding, error))


def encoding_of(file: Path, encoding: str) -> str:
    """`encoding`, unless the file begins with the mark of UTF-16 or UTF-32.

    Raises:
        UserError: there is no such encoding.
    """
    try:
        "\n".encode(encoding)
    except (LookupError, ValueError):
        raise UserError(f"encoding {encoding}: no such encoding; use one that Python knows, such as utf-8, gb18030 or latin-1") from None
    with file.open("rb") as stream:
        head = stream.read(4)
    return next((wide for mark, wide in WIDE.items() if head.startswith(mark)), encoding)


def _pieces(file: Path) -> Iterator[bytes | None]:
    """The lines of a file as bytes; None for one that is too long."""
    held, skipping = b"", False
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            buffer = held + chunk
            complete = buffer.splitlines()
            held = b"" if buffer.endswith(b"\n") else complete.pop() + (b"\r" if buffer.endswith(b"\r") else b"")
            if skipping and complete:
                complete.pop(0)  # the end of the long line
                skipping = False
            yield from (line if len(line) <= LONGEST else None for line in complete)
            if len(held.removesuffix(b"\r")) > LONGEST:
                yield None
                skipping = True
            if skipping:
                held = b"\r" if held.endswith(b"\r") else b""
    if held and not skipping:
        yield held.removesuffix(b"\r")


def _wide_lines(file: Path, encoding: str) -> Iterator[Line | Refused]:
    number, skipping = 0, False
    with file.open(encoding=encoding) as stream:
        while True:
            try:
                line = stream.readline(LONGEST // 4)
            except UnicodeDecodeError as error:  # where the next line begins cannot be known
                yield Refused(f"{file.name}, after line {number}", f"{_not_in(encoding, error)}; the rest of the file is left out")
                return
            if not line:
                return
            if not skipping:
                number += 1
                whole = len(line) < LONGEST // 4 or line.endswith("\n")
                yield Line(f"{file.name}:{number}", line.removesuffix("\n")) if whole else Refused(f"{file.name}:{number}", TOO_LONG)
            skipping = not line.endswith("\n")


def _not_in(encoding: str, error: UnicodeDecodeError) -> str:
    other = "gb18030" if codecs.lookup(encoding).name in ("utf-8", "utf-8-sig") else "utf-8"
    return f"not {encoding} at byte {error.start}; give its encoding, such as --option encoding={other}"
