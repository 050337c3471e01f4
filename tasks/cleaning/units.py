"""Texts in; their words, and their characters where words are not written apart, as 64-bit numbers out, a batch at a time.

Case, punctuation and spacing do not count. Near-duplicates and passages of test splits are both found by runs of these numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

Numbers = np.ndarray[tuple[int], np.dtype[np.uint64]]
Places = np.ndarray[tuple[int], np.dtype[np.int64]]
Marks = np.ndarray[tuple[int], np.dtype[np.bool_]]

UNSPACED = ((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3134F))  # kana and Han
MULTIPLIER = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2**64


@dataclass(frozen=True)
class Units:
    """The numbers of several texts, one after another."""

    text: str  # the texts, casefolded and joined by newlines
    numbers: Numbers
    bounds: Places  # where the units of each text begin, and the end
    starts: Places  # of each unit in `text`
    ends: Places

    @property
    def lengths(self) -> Places:
        return np.diff(self.bounds)

    @property
    def owners(self) -> Places:
        """Which text each number is of."""
        return np.repeat(np.arange(len(self.bounds) - 1), self.lengths)

    def between(self, first: int, last: int) -> str:
        """The text from unit `first` to unit `last`."""
        return self.text[self.starts[first] : self.ends[last]]

    def of(self, text: int) -> Numbers:
        """The numbers of one of the texts."""
        return self.numbers[self.bounds[text] : self.bounds[text + 1]]

    def runs(self, size: int) -> tuple[Numbers, Places]:
        """A number for each `size` units in a row of one text, and where such a run begins."""
        if len(self.numbers) < size:
            return np.empty(0, np.uint64), np.empty(0, np.int64)
        hashes = np.zeros(len(self.numbers) - size + 1, np.uint64)
        for place in range(size):
            hashes = hashes * np.uint64(MULTIPLIER) + self.numbers[place : place + len(hashes)]
        begins = np.flatnonzero(self.owners[: len(hashes)] == self.owners[size - 1 :])
        return hashes[begins], begins


def once_each(numbers: Numbers, owners: Places) -> Numbers:
    """The numbers, each of them once for each of its owners."""
    order = np.lexsort((numbers, owners))
    numbers, owners = numbers[order], owners[order]
    return numbers[np.append(True, (numbers[1:] != numbers[:-1]) | (owners[1:] != owners[:-1]))[: len(numbers)]]


def words(texts: Sequence[str], *, unspaced: bool = False) -> Units:
    """The runs of letters and digits; those of scripts written without spaces only if `unspaced`."""
    return _spans(texts, _letters() if unspaced else _spaced())


def lines(texts: Sequence[str]) -> Units:
    """The lines that are not empty."""
    return _spans(texts, _inside())


def characters(texts: Sequence[str]) -> Units:
    """The characters of scripts that are written without spaces between words."""
    text, begins = _joined(texts)
    codes = _codes(text)
    places = np.flatnonzero(_unspaced()[codes])
    return Units(text, mixed(codes[places].astype(np.uint64)), np.searchsorted(places, begins), places, places + 1)


def _spans(texts: Sequence[str], members: Marks) -> Units:
    """The runs of characters whose codes are `members`."""
    text, begins = _joined(texts)
    codes = _codes(text)
    marks = members[codes]
    edges = np.flatnonzero(np.diff(marks, prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    numbers = np.empty(0, np.uint64)
    if len(starts):
        powers, inverses = _powers(1 << len(codes).bit_length())
        values = powers[: len(codes)] * codes
        values *= marks
        numbers = mixed(np.add.reduceat(values, starts) * inverses[starts])
    return Units(text, numbers, np.searchsorted(starts, begins), starts, ends)


def _joined(texts: Sequence[str]) -> tuple[str, Places]:
    """The texts casefolded, as one, and where each begins; the end too."""
    folded = [text.casefold() for text in texts]
    return "\n".join(folded), np.cumsum([0, *(len(text) + 1 for text in folded)])


def _codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def mixed(numbers: Numbers) -> Numbers:
    """Each number with its bits spread over all 64 (the finalizer of MurmurHash3)."""
    for shift, factor in ((33, 0xFF51AFD7ED558CCD), (33, 0xC4CEB9FE1A85EC53)):
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
    return numbers ^ (numbers >> np.uint64(33))


@lru_cache(maxsize=1)
def _inside() -> Marks:
    return np.arange(0x110000) != ord("\n")


@lru_cache(maxsize=1)
def _letters() -> Marks:
    return np.array([chr(code).isalnum() for code in range(0x110000)])


@lru_cache(maxsize=1)
def _spaced() -> Marks:
    return _letters() & ~_unspaced()


@lru_cache(maxsize=1)
def _unspaced() -> Marks:
    marks = np.zeros(0x110000, np.bool_)
    for first, last in UNSPACED:
        marks[first : last + 1] = _letters()[first : last + 1]
    return marks


@lru_cache(maxsize=8)
def _powers(size: int) -> tuple[Numbers, Numbers]:
    """The powers of the multiplier and of its inverse, modulo 2**64."""
    factors = np.full((2, size), [[MULTIPLIER], [pow(MULTIPLIER, -1, 2**64)]], np.uint64)
    factors[:, 0] = 1
    powers, inverses = np.cumprod(factors, axis=1)
    return powers, inverses
