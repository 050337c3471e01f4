"""Interpolated modified Kneser-Ney smoothing of trigrams (Chen and Goodman, 1999): what a decoder has to beat.

Counting is sorting, and looking up is bisection, so millions of tokens take seconds; `nltk.lm` needs a millisecond for each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ORDER = 3
FALLBACK = (0.5, 1.0, 1.5)  # the discounts where so little was counted that none can be estimated, as KenLM has them


@dataclass(frozen=True)
class Level:
    """The n-grams of one order, each a number: its words as the digits of a numeral in base `vocab_size`, the first word first."""

    ngrams: np.ndarray  # sorted
    counts: np.ndarray  # how often, or for orders below the highest after how many different words
    contexts: np.ndarray  # the n-grams without their last word, sorted
    totals: np.ndarray  # of the counts in a context
    kinds: np.ndarray  # (contexts, 3): n-grams of a context that count 1, 2, and 3 or more
    discounts: np.ndarray  # (3,): what these are discounted by

    @classmethod
    def of(cls, ngrams: np.ndarray, counts: np.ndarray, vocab_size: int) -> "Level":
        contexts, starts = np.unique(ngrams // vocab_size, return_index=True)
        kinds = np.stack([np.add.reduceat(counts == 1, starts), np.add.reduceat(counts == 2, starts), np.add.reduceat(counts > 2, starts)])
        return cls(ngrams, counts, contexts, np.add.reduceat(counts, starts), kinds.T, discounts(counts))

    def interpolated(self, ngrams: np.ndarray, contexts: np.ndarray, lower: np.ndarray) -> np.ndarray:
        """The probability of each n-gram's last word after its context, where `lower` is that of the order below."""
        places, known = _find(self.contexts, contexts)
        places_of_ngrams, counted = _find(self.ngrams, ngrams)
        counts = np.where(counted, self.counts[places_of_ngrams], 0)
        kept = np.maximum(counts - np.array([0.0, *self.discounts])[np.minimum(counts, 3)], 0)
        freed = self.kinds[places] @ self.discounts
        return np.where(known, (kept + freed * lower) / self.totals[places], lower)


@dataclass(frozen=True)
class Trigram:
    """Probabilities of each token after the two before it."""

    vocab_size: int
    levels: tuple[Level, ...]  # of one word, two, three

    @classmethod
    def fit(cls, documents: Sequence[np.ndarray], vocab_size: int) -> "Trigram":
        """The counts of `documents`, token ids (tokens,) each: the first opens its document and is given, the last one closes it.

        `vocab_size` to the third power has to fit 63 bits: two million tokens are too many.
        """
        words = np.concatenate([_trigrams(document) for document in documents])
        ngrams, counts = np.unique(_numbers(words, vocab_size), return_counts=True)
        levels = [Level.of(ngrams, counts, vocab_size)]
        for order in range(ORDER - 1, 0, -1):
            ngrams, counts = np.unique(ngrams % vocab_size**order, return_counts=True)
            levels.insert(0, Level.of(ngrams, counts, vocab_size))
        return cls(vocab_size, tuple(levels))

    def log_probabilities(self, document: np.ndarray) -> np.ndarray:
        """In nats, of every token of a document but its first (tokens - 1,)."""
        numbers = _numbers(_trigrams(document), self.vocab_size)
        told = np.full(len(numbers), 1 / self.vocab_size)
        for order, level in enumerate(self.levels, 1):
            ngrams = numbers % self.vocab_size**order
            told = level.interpolated(ngrams, ngrams // self.vocab_size, told)
        return np.log(told)


def discounts(counts: np.ndarray) -> np.ndarray:
    """What n-grams that count 1, 2, and 3 or more are discounted by (3,): Chen and Goodman's equation 17."""
    ones, twos, threes, fours = (int((counts == number).sum()) for number in (1, 2, 3, 4))
    if not (ones and twos and threes and fours):
        return np.array(FALLBACK)
    share = ones / (ones + 2 * twos)
    estimated = np.array([1 - 2 * share * twos / ones, 2 - 3 * share * threes / twos, 3 - 4 * share * fours / threes])
    return estimated if (estimated > 0).all() else np.array(FALLBACK)


def _trigrams(document: np.ndarray) -> np.ndarray:
    """Every token but the first with the two before it (tokens - 1, 3); the second has its document's opening twice before it."""
    padded = np.concatenate([document[:1], document]).astype(np.int64)
    return np.lib.stride_tricks.sliding_window_view(padded, ORDER)


def _numbers(words: np.ndarray, vocab_size: int) -> np.ndarray:
    return words @ np.array([vocab_size**2, vocab_size, 1], dtype=np.int64)


def _find(known: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The place of each of `asked` in `known`, which is sorted, and whether it is there; elsewhere the place means nothing."""
    places = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    return places, known[places] == asked
