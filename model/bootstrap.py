"""How sure a metric is, and that one system does better than another on the same rows.

Percentile intervals by the paired bootstrap (Efron 1979; Koehn 2004); p values by approximate randomization, a paired permutation test
that is right for accuracy and for metrics of a whole test set, such as BLEU and F1, alike (Noreen 1989; Yeh 2000).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

TIE = 1e-9  # differences that are equal but for rounding

Metrics = Callable[[np.ndarray], dict[str, float]]  # of summed statistics (k,)


@dataclass(frozen=True)
class Interval:
    """A metric over all rows, and between what bounds it would fall on other rows of the same kind."""

    value: float
    low: float
    high: float


def draws(num_rows: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each row occurs in each of `resamples` samples with replacement, each of shape (num_rows,)."""
    random = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(random.integers(num_rows, size=num_rows), minlength=num_rows)


def resampled(statistics: np.ndarray, metrics: Metrics, resamples: int, seed: int) -> dict[str, np.ndarray]:
    """Each metric on every resample, shape (resamples,), from statistics (rows, k); equal seeds draw equal rows."""
    points = [metrics(count @ statistics) for count in draws(len(statistics), resamples, seed)]
    return {name: np.array([point[name] for point in points]) for name in points[0]}


def intervals(statistics: np.ndarray, metrics: Metrics, samples: dict[str, np.ndarray], confidence: float) -> dict[str, Interval]:
    """Each metric on all rows with the middle `confidence` of its `samples`."""
    tails = (1 - confidence) / 2 * 100
    bounds = {name: np.percentile(values, [tails, 100 - tails]) for name, values in samples.items()}
    return {name: Interval(value, *(float(bound) for bound in bounds[name])) for name, value in metrics(statistics.sum(axis=0)).items()}


def difference(better: np.ndarray, worse: np.ndarray, confidence: float) -> tuple[float, float]:
    """The middle `confidence` of the differences between two systems' values of a metric on the same resamples, each (resamples,)."""
    tails = (1 - confidence) / 2 * 100
    low, high = np.percentile(better - worse, [tails, 100 - tails])
    return float(low), float(high)


def p_value(better: np.ndarray, worse: np.ndarray, metric: Callable[[np.ndarray], float], resamples: int, seed: int) -> float:
    """How likely `better` would be so much better if the two were alike: one-sided, and never 0, as so many draws cannot show more.

    The share of `resamples` in which swapping the two on a random half of the rows leaves a difference at least as large. Statistics are
    (rows, k) each, with columns of the same meaning; `metric` of their sum (k,) is higher where it is better.
    """
    random = np.random.default_rng(seed)
    first, second, gaps = better.sum(axis=0), worse.sum(axis=0), better - worse
    found = metric(first) - metric(second) - TIE
    as_large = 0
    for _ in range(resamples):
        moved = random.integers(2, size=len(gaps)) @ gaps
        as_large += metric(first - moved) - metric(second + moved) >= found
    return (1 + as_large) / (1 + resamples)
