import numpy as np
import pytest

from model.bootstrap import intervals, p_value, resampled


def mean(total: np.ndarray) -> dict[str, float]:
    return {"mean": float(total[1] / total[0])}


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
    better, same = (resampled(rows(values + shift), mean, 500, 3)["mean"] for shift in (0.01, 0.0))
    assert p_value(better, same) == 1 / 501  # far apart in pairs, although either interval holds the other's value
    assert p_value(same, better) == 1.0
    assert p_value(same, same) == 1.0


def test_equal_seeds_draw_equal_samples() -> None:
    sample = rows(np.arange(20.0))
    first, second, other = (resampled(sample, mean, 50, seed)["mean"] for seed in (1, 1, 2))
    assert (first == second).all()
    assert (first != other).any()
