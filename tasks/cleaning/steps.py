"""Rows in, a batch at a time; what a step of prepare leaves of them out, with a count and samples of all that it changed and removed."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.cleaning import personal

Row = dict[str, Any]

SAMPLES = 3  # of each reason, in the report
SAMPLE_CHARACTERS = 160


@dataclass(frozen=True)
class Removed:
    """In the place of a row that goes: why, and the text that shows it."""

    why: str
    text: str
    beside: str | None = None  # what it repeats


Apply = Callable[[Sequence[Row], Counter[str]], Iterable[Row | Removed]]


class Step:
    """One thing done to every row; counts what it changes and removes, and keeps samples of that without personal data."""

    def __init__(self, name: str, apply: Apply, shown: Callable[[Row], str]) -> None:
        """`apply` gives each row to go on with, or why it goes, and may count what it finds; `shown` is the text of a row, for samples."""
        self.name = name
        self.taken = self.changed = 0
        self.removed: Counter[str] = Counter()  # by reason
        self.found: Counter[str] = Counter()  # what else `apply` counts
        self.samples: list[dict[str, str]] = []
        self._apply = apply
        self._shown = shown

    def __call__(self, rows: Sequence[Row]) -> list[Row]:
        left: list[Row] = []
        self.taken += len(rows)
        for before, after in zip(rows, self._apply(rows, self.found), strict=True):
            if isinstance(after, Removed):
                self.removed[after.why] += 1
                if self.removed[after.why] <= SAMPLES:
                    beside = {"beside": _safe(after.beside)[:SAMPLE_CHARACTERS]} if after.beside else {}
                    self.samples.append({"why": after.why, "text": _safe(after.text)[:SAMPLE_CHARACTERS]} | beside)
            else:
                left.append(after)
                if after != before:
                    self._compare(self._shown(before), self._shown(after))
        return left

    def _compare(self, before: str, after: str) -> None:
        if before == after:  # in what is shown
            return
        self.changed += 1
        if self.changed <= SAMPLES:
            start = max(0, _agreeing(before, after) - SAMPLE_CHARACTERS // 4)
            old, new = (_safe(text)[start : start + SAMPLE_CHARACTERS // 2] for text in (before, after))
            self.samples.append({"before": old, "after": new} if old != new else {"after": new})

    def to_json(self) -> dict[str, Any]:
        removed = self.removed.total()
        return {
            "step": self.name,
            "in": self.taken,
            "out": self.taken - removed,
            "removed": removed,
            "changed": self.changed,
            "reasons": dict(self.removed),
            "found": {_safe(name): count for name, count in self.found.most_common(20)},
            "samples": self.samples,
        }


def through(steps: Sequence[Step], rows: Sequence[Row]) -> list[Row]:
    """What all steps leave of a batch."""
    left = list(rows)
    for step in steps:
        left = step(left)
    return left


def _agreeing(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def _safe(text: str) -> str:
    return personal.mask(text, tuple(personal.FINDERS))[0]
