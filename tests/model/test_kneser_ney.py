from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from nltk.lm import KneserNeyInterpolated
from nltk.lm.vocabulary import Vocabulary

from model.kneser_ney import FALLBACK, Trigram, discounts

SIZE = 60


def sample(num_documents: int, seed: int) -> list[np.ndarray]:
    """Documents of tokens 1 to 50, each of which has one that likes to follow it, between two zeros."""
    random = np.random.default_rng(seed)
    documents = []
    for _ in range(num_documents):
        words = [int(random.integers(1, 51))]
        for _ in range(random.integers(3, 30)):
            words.append(words[-1] % 50 + 1 if random.random() < 0.6 else int(random.integers(1, 51)))
        documents.append(np.array([0, *words, 0]))
    return documents


TRAIN = sample(40, 1)


def trigrams(document: np.ndarray) -> list[tuple[int, int, int]]:
    words = [int(word) for word in document]
    return [(before, *pair) for before, pair in zip([words[0], *words], pairwise(words), strict=False)]


def by_hand(documents: list[np.ndarray], context: tuple[int, int], word: int) -> float:
    """The paper's equations with dictionaries, but for the one-word level, where fifty words are too few to estimate a discount."""

    def probability(counts: Counter[tuple[int, ...]], context: tuple[int, ...], lower: float) -> float:
        of_counts = Counter(counts.values())
        share = of_counts[1] / (of_counts[1] + 2 * of_counts[2])
        discount = {0: 0.0} | {k: k - (k + 1) * share * of_counts[k + 1] / of_counts[k] for k in (1, 2, 3)}
        following = {ngram[-1]: count for ngram, count in counts.items() if ngram[:-1] == context}
        if not following:
            return lower
        count, total = following.get(word, 0), sum(following.values())
        left = sum(discount[min(one, 3)] for one in following.values())
        return (count - discount[min(count, 3)]) / total + left / total * lower

    threes = Counter(three for document in documents for three in trigrams(document))
    twos = Counter(three[1:] for three in threes)
    ones = Counter(two[1:] for two in twos)
    told = ones[(word,)] / sum(ones.values())
    told = probability(twos, context[1:], told)
    return probability(threes, context, told)


def test_the_probabilities_are_those_of_the_paper() -> None:
    more = sample(400, 3)  # enough for every count of counts
    model = Trigram.fit(more, SIZE)
    assert not any(np.array_equal(level.discounts, FALLBACK) for level in model.levels[1:])
    document = np.array([*more[0][:8], 7, 7, 7, 1, 2, 0])
    counted = Counter(three for one in more for three in trigrams(one))
    assert {0, 1, 2} < {counted[three] for three in trigrams(document)}
    model = replace(model, levels=(replace(model.levels[0], discounts=np.zeros(3)), *model.levels[1:]))
    expected = [np.log(by_hand(more, three[:2], three[2])) for three in trigrams(document)]
    assert model.log_probabilities(document) == pytest.approx(expected)


def test_probabilities_of_all_tokens_are_one_together_after_any_context() -> None:
    model = Trigram.fit(TRAIN, SIZE)
    for context in ((0, 3), (1, 2), (9, 5), (55, 55), (0, 0)):
        told = [model.log_probabilities(np.array([context[0], context[1], word]))[1] for word in range(SIZE)]
        assert np.exp(told).sum() == pytest.approx(1)
        assert np.isfinite(told).all()


def test_with_one_discount_for_all_it_is_nltks_kneser_ney() -> None:
    model = Trigram.fit(TRAIN, SIZE)
    levels = [replace(level, discounts=np.full(3, discount)) for level, discount in zip(model.levels, (0.0, 0.1, 0.1), strict=True)]
    threes = [three for document in TRAIN for three in trigrams(document)]
    theirs = KneserNeyInterpolated(3, discount=0.1, vocabulary=Vocabulary(map(str, range(SIZE))))
    theirs.fit([[tuple(map(str, three[start:])) for three in threes for start in range(3)]])
    document = sample(1, 2)[0]
    expected = [np.log(theirs.unmasked_score(str(word), (str(first), str(second)))) for first, second, word in trigrams(document)]
    assert replace(model, levels=tuple(levels)).log_probabilities(document) == pytest.approx(expected)


def test_it_foretells_what_it_has_counted_better_than_frequencies_do() -> None:
    model, other = Trigram.fit(sample(300, 4), SIZE), sample(50, 5)
    loss = -np.concatenate([model.log_probabilities(document) for document in other]).mean()
    words = np.concatenate([document[1:] for document in other])
    frequencies = np.bincount(words, minlength=SIZE) / len(words)
    assert loss < -np.log(frequencies[words]).mean() - 0.3


def test_where_nothing_can_be_estimated_the_discounts_are_kenlms() -> None:
    assert discounts(np.array([1, 1, 2])).tolist() == list(FALLBACK)
    assert discounts(np.repeat([1, 2, 3, 4], [8, 4, 2, 1])).tolist() == pytest.approx([0.5, 1.25, 2.0])
