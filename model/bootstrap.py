"""How sure a metric is: percentile intervals and a paired test, by resampling the test rows (Efron 1979; Koehn 2004)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

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


def p_value(better: np.ndarray, worse: np.ndarray) -> float:
    """The share of paired resamples on which `better` is no better, one-sided; never 0, as so many draws cannot show more."""
    return float((1 + np.sum(better <= worse)) / (1 + len(better)))
