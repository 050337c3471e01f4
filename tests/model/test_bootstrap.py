import numpy as np
import pytest
from scipy.stats import binomtest

from model.bootstrap import difference, intervals, p_value, resampled


def mean(total: np.ndarray) -> dict[str, float]:
    return {"mean": float(total[1] / total[0])}


def chance(better: np.ndarray, worse: np.ndarray, resamples: int) -> float:
    return p_value(better, worse, lambda total: mean(total)["mean"], resamples, 3)


def rows(values: np.ndarray) -> np.ndarray:
    return np.stack([np.ones_like(values), values], axis=1)


def test_the_interval_is_the_one_that_theory_gives() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    interval = intervals(rows(values), mean, resampled(rows(values), mean, 2000, 1), 0.95)["mean"]
    error = values.std() / 20
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.03)
    assert interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.03)


def test_intervals_cover_the_truth_as_often_as_those_of_theory_do_on_the_same_samples() -> None:
    random = np.random.default_rng(7)
    covered = expected = 0  # compared in pairs: how often 100 samples are unlucky is no matter of the bootstrap
    for _ in range(100):
        values = random.normal(0, 1, 60)
        interval = intervals(rows(values), mean, resampled(rows(values), mean, 200, 1), 0.9)["mean"]
        covered += interval.low <= 0 <= interval.high
        expected += abs(values.mean()) <= 1.645 * values.std() / 60**0.5
    assert abs(covered - expected) <= 3


def test_a_pair_is_compared_on_the_same_rows() -> None:
    values = np.random.default_rng(0).normal(0, 10, 300)
    better, same = rows(values + 0.01), rows(values)
    assert chance(better, same, 500) == 1 / 501  # far apart in pairs, although either interval holds the other's value
    assert chance(same, better, 500) == 1.0
    assert chance(same, same, 500) == 1.0
    low, high = difference(*(resampled(sample, mean, 500, 3)["mean"] for sample in (better, same)), 0.95)
    assert low == pytest.approx(0.01)
    assert high == pytest.approx(0.01)


def test_of_right_and_wrong_answers_the_test_is_mcnemars() -> None:
    better = np.array([1.0] * 14 + [0.0] * 4 + [1.0] * 50 + [0.0] * 12)
    worse = np.array([0.0] * 14 + [1.0] * 4 + [1.0] * 50 + [0.0] * 12)
    expected = binomtest(14, 18, alternative="greater").pvalue  # exact, on the rows where they differ
    assert chance(rows(better), rows(worse), 20000) == pytest.approx(expected, abs=0.003)


def test_two_equal_systems_are_told_apart_as_often_as_the_level_says() -> None:
    random = np.random.default_rng(5)
    pairs = [random.normal(0, 1, (2, 40)) for _ in range(200)]
    found = sum(chance(rows(first), rows(second), 199) <= 0.1 for first, second in pairs)
    assert found == pytest.approx(20, abs=10)


def test_the_interval_of_a_difference_is_the_one_that_theory_gives() -> None:
    random = np.random.default_rng(2)
    first = random.normal(5, 2, 400)
    gaps = random.normal(0.3, 0.5, 400)
    low, high = difference(*(resampled(rows(values), mean, 2000, 1)["mean"] for values in (first + gaps, first)), 0.95)
    assert low == pytest.approx(gaps.mean() - 1.96 * gaps.std() / 20, abs=0.01)
    assert high == pytest.approx(gaps.mean() + 1.96 * gaps.std() / 20, abs=0.01)


def test_equal_seeds_draw_equal_samples() -> None:
    sample = rows(np.arange(20.0))
    first, second, other = (resampled(sample, mean, 50, seed)["mean"] for seed in (1, 1, 2))
    assert (first == second).all()
    assert (first != other).any()
