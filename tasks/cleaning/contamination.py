"""The texts of test splits in; which passages of them other texts hold, out.

A passage is 13 words in a row (Brown et al. 2020, appendix C), or 20 characters where words are not written apart; case, punctuation and
spacing do not count. What many test texts have ("sign up for our newsletter ...") is no passage of any. Passages are compared by 64-bit
numbers, so a test split takes 16 bytes a word.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model.params import STRICT, Positive
from tasks import tables
from tasks.cleaning import units
from tasks.cleaning.duplicates import Distinct
from tasks.cleaning.units import Numbers, Places, Units

SCREEN = np.uint64(2**24 - 1)  # most passages that are no match are told by these bits, without a search


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Section `prepare.test_splits` of params.yaml: how long a passage is."""

    __pydantic_config__ = STRICT

    enabled: bool
    words: Positive
    characters: Positive  # of scripts written without spaces
    max_texts: Positive  # of test splits that have the passage: what more of them have is a phrase, and tells nothing


@dataclass(frozen=True)
class Match:
    """What a text shares with a test split."""

    application: str
    passage: str


class HeldOut:
    """Every passage of the examples in test splits, and each example's main text as a whole if it is shorter than a passage."""

    def __init__(self, examples: Iterable[tuple[str, Sequence[Sequence[str]]]], size: Overlap) -> None:
        """`examples`: an application and some of its examples, each as texts with the main one first."""
        self._size = size
        self._applications: list[str] = []
        self._wholes: dict[bytes, int] = {}
        distinct = Distinct()
        found: list[tuple[Numbers, int]] = []
        for application, rows in examples:
            if application not in self._applications:
                self._applications.append(application)
            number = self._applications.index(application)
            for part in self._parts([text for texts in rows for text in texts if distinct.is_new(text)]):
                found.append((units.once_each(part.hashes, part.units.owners[part.begins]), number))
            for whole in self._wholes_of([texts[0] for texts in rows]).values():
                self._wholes.setdefault(whole, number)
        passages = np.concatenate([np.empty(0, np.uint64), *(hashes for hashes, _ in found)])
        owners = np.repeat(np.array([number for _, number in found], np.int64), [len(hashes) for hashes, _ in found])
        passages, first, num_texts = np.unique(passages, return_index=True, return_counts=True)
        self._passages = passages[num_texts <= size.max_texts]
        self._owners = owners[first[num_texts <= size.max_texts]]
        self._screen = np.zeros(int(SCREEN) + 1, np.bool_)
        self._screen[self._passages & SCREEN] = True

    def find(self, rows: Sequence[Sequence[str]]) -> list[Match | None]:
        """For each of several examples, given as texts with the main one first: the first passage that is one of these, or None."""
        owners = np.repeat(np.arange(len(rows)), [len(texts) for texts in rows])
        matches: list[Match | None] = [None] * len(rows)
        for row, whole in self._wholes_of([texts[0] for texts in rows]).items():
            if whole in self._wholes:
                matches[row] = Match(self._applications[self._wholes[whole]], rows[row][0])
        for part in self._parts([text for texts in rows for text in texts]):
            for place, number in self._hits(part.hashes):
                first = int(part.begins[place])
                row = int(owners[np.searchsorted(part.units.bounds, first, "right") - 1])
                if matches[row] is None:
                    matches[row] = Match(self._applications[number], part.units.between(first, first + part.size - 1))
        return matches

    def _hits(self, hashes: Numbers) -> list[tuple[int, int]]:
        """The places of those of `hashes` that are passages of a test split, and the application each is of."""
        likely = np.flatnonzero(self._screen[hashes & SCREEN])
        places = np.minimum(np.searchsorted(self._passages, hashes[likely]), len(self._passages) - 1)
        hits = np.flatnonzero(self._passages[places] == hashes[likely])
        return list(zip(likely[hits].tolist(), self._owners[places[hits]].tolist(), strict=True))

    def _parts(self, texts: Sequence[str]) -> "list[_Part]":
        return [
            _Part(all_units, size, *all_units.runs(size))
            for all_units, size in ((units.words(texts), self._size.words), (units.characters(texts), self._size.characters))
        ]

    def _wholes_of(self, texts: Sequence[str]) -> dict[int, bytes]:
        """What stands for the whole of each text that is too short to hold a passage, by its place."""
        words, characters = units.words(texts), units.characters(texts)
        short = (words.lengths < self._size.words) & (characters.lengths < self._size.characters)
        return {
            text: words.of(text).tobytes() + b"|" + characters.of(text).tobytes()
            for text in np.flatnonzero(short & (words.lengths + characters.lengths > 0)).tolist()
        }


@dataclass(frozen=True)
class _Part:
    """The runs of one kind of unit that are as long as a passage."""

    units: Units
    size: int
    hashes: Numbers
    begins: Places


class Listing:
    """What was removed because a test split holds it: `contamination.parquet`, one row for each document or example."""

    def __init__(self, file: Path) -> None:
        import pyarrow as pa

        columns = ("part", "source", "test_split_of", "passage", "sha256")
        self._writer = tables.Writer(file, pa.schema([(column, pa.string()) for column in columns]))

    def __enter__(self) -> "Listing":
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.__exit__(*error)

    def add(self, part: str, source: str | None, text: str, match: Match) -> None:
        """`part` is the corpus, or an application's split; `text` is what the hash is of."""
        digest = hashlib.sha256(text.encode()).hexdigest()
        self._writer.add({"part": part, "source": source, "test_split_of": match.application, "passage": match.passage, "sha256": digest})


def texts_of(row: Mapping[str, Any]) -> list[str]:
    """The texts of an example, the main one first: its first column, a list of words as one text, and every other column of text."""
    main, *others = row.values()
    return [" ".join(main) if isinstance(main, list) else main, *(value for value in others if isinstance(value, str))]
