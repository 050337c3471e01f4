"""A JSON file in; its elements out, one at a time: only one of them is in memory."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from tasks.intake.lines import CHUNK, LONGEST, TOO_LONG, encoding_of
from tasks.readers import Found, Refused, Row

DECODER = json.JSONDecoder()
SPACE = re.compile(r"[ \t\r\n]*")
REST = "; the rest of the file is left out"


class Item(NamedTuple):
    """An element of the array."""

    where: str
    value: Any


def items_of(file: Path, encoding: str = "utf-8-sig") -> Iterator[Item | Refused]:
    """The elements of the array that a file is, or of the first array among the values of its object; an object without one is the item.

    Where an element is no JSON, the rest of the file is refused with it: where the next one begins cannot be known.
    """
    with file.open(encoding=encoding_of(file, encoding), errors="surrogateescape", newline="") as stream:  # bad bytes: refused as text is
        source = _Source(stream)
        count = 0
        try:
            if source.sees("["):
                for value in source.array():
                    count += 1
                    yield Item(f"{file.name}, item {count}", value)
            elif source.sees("{"):
                single = {}
                found = False
                for key in source.fields():
                    if not found and source.sees("["):
                        found = True
                        for value in source.array():
                            count += 1
                            yield Item(f"{file.name}, item {count}", value)
                    else:
                        single[key] = source.value()
                if not found:
                    yield Item(file.name, single)
            else:
                raise ValueError("neither an array nor an object")
            if not source.is_at_end():
                raise ValueError("something stands after its end")
        except ValueError as error:
            yield Refused(f"{file.name}, after item {count}", f"not JSON: {reason(error)}{REST}")


def loads(text: str) -> Any:
    """The value of a text; a ValueError whatever is wrong with it."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def renamed(where: str, found: Row, columns: Mapping[str, str] | None) -> Row | Refused:
    """The fields of an object as they are named, or those of `columns`: {column: field}; refused if it has none of them."""
    if not columns:
        return Found(where, found)
    row = {column: found[field] for column, field in columns.items() if field in found}
    return Found(where, row) if row else Refused(where, f"no {', '.join(columns.values())}; there is {', '.join(map(str, found))}"[:200])


def reason(error: ValueError) -> str:
    """What `loads` found wrong, without places in the text."""
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error).partition(":")[0]


class _Source:
    """A text that is read as far as the next value needs; ValueError where it is no JSON."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.text = ""
        self.place = 0
        self.ended = False

    def array(self) -> Iterator[Any]:
        self._take("[")
        while not self.sees("]"):
            yield self.value()
            if not self.sees("]"):
                self._take(",")
        self._take("]")

    def fields(self) -> Iterator[str]:
        """The keys of an object; the caller takes each value."""
        self._take("{")
        while not self.sees("}"):
            key = self.value()
            if not isinstance(key, str):
                raise ValueError("a key is no text")
            self._take(":")
            yield key
            if not self.sees("}"):
                self._take(",")
        self._take("}")

    def value(self) -> Any:
        self._skip_space()
        while True:
            try:
                value, end = DECODER.raw_decode(self.text, self.place)
            except RecursionError:
                raise ValueError("nested too deeply") from None
            except ValueError:
                if self.ended:
                    raise
            else:
                if end < len(self.text) or self.ended:  # else more digits may follow
                    self.place = end
                    return value
            self._read_on()

    def sees(self, mark: str) -> bool:
        self._skip_space()
        return self.text.startswith(mark, self.place)

    def is_at_end(self) -> bool:
        self._skip_space()
        return self.place == len(self.text)

    def _take(self, mark: str) -> None:
        if not self.sees(mark):
            raise ValueError(f"expected {mark}")
        self.place += 1

    def _skip_space(self) -> None:
        while True:
            found = SPACE.match(self.text, self.place)
            self.place = found.end() if found else self.place
            if self.place < len(self.text) or self.ended:
                return
            self._read_on()

    def _read_on(self) -> None:
        """Read as much again as is held, so that a value is parsed a few times at most."""
        held = self.text[self.place :]
        if len(held) > LONGEST:
            raise ValueError(f"an element is {TOO_LONG}")
        read = self.stream.read(max(CHUNK, len(held)))
        self.text, self.place, self.ended = held + read, 0, not read
