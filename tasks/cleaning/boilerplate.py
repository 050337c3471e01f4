"""Documents in; the same without lines that many documents of their source share, and without navigation and cookie notices, out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from model.params import STRICT, Positive, Share
from tasks.cleaning import units
from tasks.cleaning.text import LINES
from tasks.cleaning.units import Numbers, Units

CELLS = 2**23  # of each row of the sketch: 64 MB in all

NAVIGATION = (
    *("uses cookies", "use cookies", "accept all cookies", "accept cookies", "cookie policy", "cookie settings", "cookie preferences"),
    *("skip to content", "skip to main content", "back to top", "all rights reserved", "privacy policy", "terms of service"),
    *("terms of use", "share on facebook", "share on twitter", "share this article", "follow us on", "to our newsletter"),
    *("for our newsletter", "enable javascript", "log in to comment", "home >", "home »", "home |"),
    *("版权所有", "不得转载", "返回首页", "返回顶部", "上一篇", "下一篇", "加载更多", "点击查看更多", "相关阅读", "分享到"),
    *("责任编辑:", "责任编辑：", "首页>", "首页 >", "首页 |", "扫一扫", "icp备", "使用cookie", "使用 cookie", "当前位置:", "当前位置："),
)


@dataclass(frozen=True, kw_only=True)
class Boilerplate:
    """Section `prepare.boilerplate` of params.yaml: which lines are no text of the document's own."""

    __pydantic_config__ = STRICT

    enabled: bool
    min_documents: Positive  # of a source that share the line; the first of them keeps it
    min_share: Share  # of the source's documents that share it
    max_navigation: Positive  # characters of a line that a word such as "cookie policy" makes boilerplate


class Lines:
    """How many documents of a source have a line: a count-min sketch (Cormode and Muthukrishnan, 2005), so memory does not grow."""

    def __init__(self, rules: Boilerplate) -> None:
        self._rules = rules
        self._counts = np.zeros((2, CELLS), np.uint32)
        self._documents: Counter[str] = Counter()
        self._known: set[bytes] = set()  # a document that comes again makes no line boilerplate
        self._kept: set[int] = set()

    def count(self, rows: Sequence[dict[str, Any]]) -> None:
        """Count the lines of documents; all of them, before `strip`."""
        fresh = []
        for row in rows:
            digest = blake2b(row["text"].encode(), digest_size=8).digest()
            if digest not in self._known:
                self._known.add(digest)
                fresh.append(row)
        self._documents.update(row["source"] for row in fresh)
        lines = units.lines([row["text"] for row in fresh])
        numbers = units.once_each(_salted(lines, fresh), lines.owners)
        for counts, cells in zip(self._counts, _cells(numbers), strict=True):
            np.add.at(counts, cells, 1)

    def strip(self, rows: Sequence[dict[str, Any]], removed: Counter[str]) -> list[str]:
        """The texts without the lines that are boilerplate; of a shared line, the first document keeps one; counts what goes."""
        texts = [row["text"] for row in rows]
        lines = units.lines(texts)
        numbers = _salted(lines, rows)
        counts = np.minimum(*(row[cells] for row, cells in zip(self._counts, _cells(numbers), strict=True)))
        least = np.array([max(self._rules.min_documents, self._rules.min_share * self._documents[row["source"]]) for row in rows])
        shared = counts >= least[lines.owners]
        touched = set(lines.owners[shared].tolist())
        if phrases := [phrase for phrase in NAVIGATION if phrase in lines.text]:
            touched.update(place for place, text in enumerate(texts) if _any_in(phrases, text))
        for place in sorted(touched):
            own = slice(lines.bounds[place], lines.bounds[place + 1])
            texts[place] = self._without(texts[place], numbers[own].tolist(), shared[own].tolist(), phrases, removed)
        return texts

    def _without(self, text: str, numbers: list[int], shared: list[bool], phrases: list[str], removed: Counter[str]) -> str:
        """`numbers` and `shared` speak of the lines that are not empty."""
        lines, told = [], iter(zip(numbers, shared, strict=True))
        for line in text.split("\n"):
            number, is_shared = next(told) if line else (0, False)
            is_navigation = len(line) <= self._rules.max_navigation and _any_in(phrases, line)
            if is_navigation or (is_shared and number in self._kept and any(map(str.isalpha, line))):
                removed[line] += 1
            else:
                lines.append(line)
                if is_shared:
                    self._kept.add(number)
        return text if len(lines) == text.count("\n") + 1 else LINES.sub("\n\n", "\n".join(lines)).strip()


def _any_in(phrases: list[str], text: str) -> bool:
    folded = text.casefold()
    return any(phrase in folded for phrase in phrases)


def _salted(lines: Units, rows: Sequence[dict[str, Any]]) -> Numbers:
    """The number of each line, another one for each source."""
    salts = [int.from_bytes(blake2b(row["source"].encode(), digest_size=8).digest()) for row in rows]
    return lines.numbers ^ np.array(salts, np.uint64)[lines.owners]


def _cells(numbers: Numbers) -> tuple[Numbers, Numbers]:
    """Where a line is counted, in each row of the sketch."""
    return numbers % np.uint64(CELLS), (numbers >> np.uint64(32)) % np.uint64(CELLS)
