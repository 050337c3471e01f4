"""Documents in; how their lengths, languages and sources are distributed, out."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any


class Distributions:
    """Of the documents added."""

    def __init__(self) -> None:
        self.num_characters = 0
        self._lengths: Counter[int] = Counter()
        self._documents: dict[str, Counter[str]] = {"source": Counter(), "lang": Counter()}
        self._characters: dict[str, Counter[str]] = {"source": Counter(), "lang": Counter()}

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            length = len(row["text"])
            self.num_characters += length
            self._lengths[length.bit_length()] += 1
            for column in ("source", "lang"):
                self._documents[column][row[column] or "unknown"] += 1
                self._characters[column][row[column] or "unknown"] += length

    def to_json(self) -> dict[str, Any]:
        """Lengths are counted by the power of two that is above them."""
        return {
            "documents": sum(self._lengths.values()),
            "characters": self.num_characters,
            "lengths": {str(2**bits): count for bits, count in sorted(self._lengths.items())},
            "sources": _table(self._documents["source"], self._characters["source"]),
            "languages": _table(self._documents["lang"], self._characters["lang"]),
        }


def _table(documents: Counter[str], characters: Counter[str]) -> dict[str, dict[str, int]]:
    return {name: {"documents": documents[name], "characters": characters[name]} for name in sorted(documents)}
