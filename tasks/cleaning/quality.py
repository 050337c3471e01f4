"""Documents in; for each why it is no good text, or nothing, out: the ratios of Gopher (Rae et al., 2021, appendix A.1), on words.

Chinese is cut into words by jieba's dictionary; its words have about two characters, so the bounds on their length are for other scripts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge

from model.params import STRICT, Positive, Share
from model.words import segment
from tasks.cleaning import units
from tasks.cleaning.units import Marks, Places, Units

STOP_WORDS = {"en": frozenset(["the", "be", "to", "of", "and", "that", "have", "with"]), "zh": frozenset("的了在是和有不为这与")}
WITH_LETTER = re.compile(r"[^\W\d_]\S*")
BULLETS = tuple("•*-–—●▪◦·")
ELLIPSES = ("...", "…")


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Section `prepare.quality` of params.yaml; shares are of a document's words, lines, paragraphs or characters."""

    __pydantic_config__ = STRICT

    enabled: bool
    min_mean_word: Annotated[float, Ge(0)]  # characters
    max_mean_word: Annotated[float, Ge(0)]
    max_symbols: Share  # "#" and ellipses, per word
    min_alphabetic: Share  # words with a letter
    max_bullets: Share  # lines that begin with one
    max_ellipses: Share  # lines that end with one
    min_words: Positive  # shorter documents are not judged by stop words and n-grams
    min_stop_words: Annotated[int, Ge(0)]  # different ones
    max_repeated_lines: Share
    max_repeated_paragraphs: Share
    max_repeated_line_characters: Share
    max_repeated_paragraph_characters: Share
    max_top_ngrams: tuple[Share, ...]  # characters in the commonest 2-gram, 3-gram, ...
    max_repeated_ngrams: tuple[Share, ...]  # characters in 5-grams, 6-grams, ... that come again


def reasons(rows: Sequence[dict[str, Any]], limits: Quality) -> list[str | None]:
    """For each document the first bound that it is out of."""
    texts, languages = [row["text"] for row in rows], [row["lang"] for row in rows]
    words = [segment(text) if lang == "zh" else text.split() for text, lang in zip(texts, languages, strict=True)]
    plain = [" ".join(each) if lang == "zh" else text for text, lang, each in zip(texts, languages, words, strict=True)]
    repeated = _of_ngrams(units.words(plain, unspaced=True), limits)
    return [
        of_words(text, each, lang, limits) or of_lines(text, limits) or (ngrams if len(each) >= limits.min_words else None)
        for text, each, lang, ngrams in zip(texts, words, languages, repeated, strict=True)
    ]


def of_words(text: str, words: list[str], lang: str | None, limits: Quality) -> str | None:
    if not words:
        return "no words"
    mean = sum(map(len, words)) / len(words)
    if lang != "zh" and not limits.min_mean_word <= mean <= limits.max_mean_word:
        return "words too short" if mean < limits.min_mean_word else "words too long"
    if text.count("#") + sum(map(text.count, ELLIPSES)) > limits.max_symbols * len(words):
        return "symbols"
    enough = limits.min_alphabetic * len(words)
    if sum(map(str.isalpha, words)) < enough and sum(WITH_LETTER.search(word) is not None for word in words) < enough:
        return "words without a letter"
    if lang in STOP_WORDS and len(words) >= limits.min_words and len(STOP_WORDS[lang].intersection(words)) < limits.min_stop_words:
        return "no stop words"
    return None


def of_lines(text: str, limits: Quality) -> str | None:
    lines = [line for line in text.split("\n") if line]
    if len(lines) < 2:
        return None
    if sum(line.startswith(BULLETS) for line in lines) > limits.max_bullets * len(lines):
        return "bullets"
    if sum(line.endswith(ELLIPSES) for line in lines) > limits.max_ellipses * len(lines):
        return "ellipses"
    if _repeated(lines, limits.max_repeated_lines, limits.max_repeated_line_characters):
        return "repeated lines"
    paragraphs = [paragraph for paragraph in text.split("\n\n") if paragraph]
    if _repeated(paragraphs, limits.max_repeated_paragraphs, limits.max_repeated_paragraph_characters):
        return "repeated paragraphs"
    return None


def _repeated(parts: list[str], max_share: float, max_character_share: float) -> bool:
    distinct = set(parts)
    characters = sum(map(len, parts))
    return len(parts) - len(distinct) > max_share * len(parts) or characters - sum(map(len, distinct)) > max_character_share * characters


def _of_ngrams(words: Units, limits: Quality) -> list[str | None]:
    """Whether one n-gram takes too great a part of each text, or n-grams that come again do."""
    widths = np.concatenate([[0], np.cumsum(words.ends - words.starts)])  # characters before each word
    totals = np.diff(widths[words.bounds])
    found: list[str | None] = [None] * len(totals)
    for size, limit in enumerate(limits.max_top_ngrams, 2):
        begins, counts, firsts = _groups(words, size)
        shares = np.zeros(len(totals))
        characters = np.where(counts > 1, counts * (widths[begins[firsts] + size] - widths[begins[firsts]]), 0)
        np.maximum.at(shares, words.owners[begins[firsts]], characters)
        _note(found, shares > limit * totals, "one phrase again and again")
    for size, limit in enumerate(limits.max_repeated_ngrams, 2 + len(limits.max_top_ngrams)):
        begins, counts, _ = _groups(words, size)
        again = begins[np.repeat(counts > 1, counts)]
        covered = np.zeros(len(words.numbers) + 1, np.int64)
        np.add.at(covered, again, 1)
        np.add.at(covered, again + size, -1)
        inside = np.concatenate([[0], np.cumsum(np.diff(widths) * (np.cumsum(covered[:-1]) > 0))])
        shares = np.diff(inside[words.bounds])
        _note(found, shares > limit * totals, "repeated phrases")
        if np.all(shares <= min(limits.max_repeated_ngrams) * totals):  # what longer ones repeat, these do
            break
    return found


def _groups(words: Units, size: int) -> tuple[Places, Places, Places]:
    """Where n-grams begin, those of one text that are alike side by side; how many are alike, and the first of each such group."""
    hashes, begins = words.runs(size)
    keys = (words.owners[begins].astype(np.uint64) << np.uint64(48)) | (hashes >> np.uint64(16))
    order = np.argsort(keys)
    keys = keys[order]
    firsts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else np.empty(0, np.int64)
    return begins[order], np.diff(np.append(firsts, len(keys))), firsts


def _note(found: list[str | None], wrong: Marks, reason: str) -> None:
    for text in np.flatnonzero(wrong).tolist():
        found[text] = found[text] or reason
