"""The texts of test splits in; whether another text contains a passage of them, out.

A passage is 13 words in a row (Brown et al. 2020, appendix C), or 20 characters where words are not written apart; case, punctuation and
spacing do not count. Passages are compared by 64-bit hashes, so a test split takes 8 bytes a word.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

SIZES = (13, 20)  # words, characters

UNSPACED = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # kana and Han
WORD = re.compile(rf"[^\W_{UNSPACED}]+")
CHARACTERS = re.compile(rf"[{UNSPACED}]+")

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

Units = tuple[list[str], str]  # the words of a text, and its characters that are not written as words
Hashes = np.ndarray[tuple[int], np.dtype[np.uint64]]


class Passages:
    """Every passage of some examples, and each example's main text as a whole."""

    def __init__(self, examples: Iterable[Sequence[str]]) -> None:
        """The first of an example's texts is the main one; it may be shorter than a passage."""
        parts: list[Hashes] = [np.empty(0, np.uint64)]
        self._wholes: set[int] = set()
        for main, *others in examples:
            units = _units(main)
            self._wholes.add(_whole(units))
            parts += [hashes for each in (units, *map(_units, others)) for hashes in _hashes(each)]
        self._hashes = np.unique(np.concatenate(parts))

    def find(self, texts: Sequence[str]) -> str | None:
        """The first passage of `texts` that is one of these, or the main text if it is one of these as a whole; else None."""
        main, *others = map(_units, texts)
        if _whole(main) in self._wholes:
            return texts[0]
        for units in (main, *others):
            for run, size, hashes in zip(units, SIZES, _hashes(units), strict=True):
                if (place := self._first(hashes)) is not None:
                    return (" " if isinstance(run, list) else "").join(run[place : place + size])
        return None

    def _first(self, hashes: Hashes) -> int | None:
        """The place of the first of `hashes` that is one of these."""
        if not len(hashes) or not len(self._hashes):
            return None
        places = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        hits = np.flatnonzero(self._hashes[places] == hashes)
        return int(hits[0]) if len(hits) else None


def texts_of(row: Mapping[str, Any]) -> list[str]:
    """The texts of an example, the main one first: its first column, a list of words as one text, and every other column of text."""
    main, *others = row.values()
    return [" ".join(main) if isinstance(main, list) else main, *(value for value in others if isinstance(value, str))]


def _units(text: str) -> Units:
    return WORD.findall(text.casefold()), "" if text.isascii() else "".join(CHARACTERS.findall(text))


def _hashes(units: Units) -> tuple[Hashes, Hashes]:
    """The hash of each run of words, and of each run of characters, that is as long as a passage."""
    words, characters = units
    num_words, num_characters = SIZES
    none = np.empty(0, np.uint64)
    return (
        none if len(words) < num_words else _runs(np.fromiter(map(_word_hash, words), np.uint64, len(words)), num_words),
        none if len(characters) < num_characters else _runs(np.frombuffer(characters.encode("utf-32-le"), np.uint32), num_characters),
    )


def _runs(values: np.ndarray, size: int) -> Hashes:
    """A polynomial (modulo 2**64) in each `size` values in a row."""
    total = np.zeros(len(values) - size + 1, np.uint64)
    for place in range(size):
        total = total * MULTIPLIER + values[place : place + len(total)]
    return total


@lru_cache(maxsize=2**20)
def _word_hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest())


def _whole(units: Units) -> int:
    words, characters = units
    return _word_hash.__wrapped__(" ".join([*words, characters]))
