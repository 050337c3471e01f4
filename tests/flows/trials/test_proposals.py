"""What is tried next and what is given up: functions of what is over, the same each time."""

from dataclasses import replace
from typing import Any

import pytest

from flows.trials.proposals import Ended, importances, propose, stopped_at
from flows.trials.ranges import Range, Tune

TUNE = Tune(seed=1, batch=2, random_trials=4, min_finished=2, spared_share=0.0, ranges={})
RANGES = {"x": Range(0.0, 10.0, False, False, None), "kind": Range(0, 0, False, False, ("a", "b"))}
PRESENT = {"x": 9.0, "kind": "b"}


def loss(values: dict[str, Any]) -> float:
    return (values["x"] - 3) ** 2 + (values["kind"] == "b")


def study(num_trials: int, tune: Tune = TUNE) -> list[Ended]:
    ended: list[Ended] = []
    while len(ended) < num_trials:
        for values in propose(RANGES, tune, ended, PRESENT, 2):
            ended.append(Ended(len(ended), values, "complete", loss(values), {1: loss(values)}))
    return ended


def test_the_first_trial_has_the_present_numbers_and_the_same_seed_proposes_the_same() -> None:
    first = study(12)
    assert first[0].values == PRESENT
    assert first == study(12)
    assert first[1:] != study(12, Tune(seed=2, batch=2, random_trials=4, min_finished=2, spared_share=0.0, ranges={}))[1:]


def test_proposals_follow_what_is_over_whatever_its_order_of_ending() -> None:
    ended = study(10)
    assert propose(RANGES, TUNE, ended, PRESENT, 2) == propose(RANGES, TUNE, ended[::-1], PRESENT, 2)


def test_proposals_learn_where_the_loss_is_low() -> None:
    ended = study(24)
    late = [abs(one.values["x"] - 3) for one in ended[12:]]
    early = [abs(one.values["x"] - 3) for one in ended[:8]]
    assert sum(late) / len(late) < sum(early) / len(early)
    assert min(one.value or 0 for one in ended) < loss(PRESENT)


def test_no_trial_is_proposed_twice_and_ranges_that_are_used_up_say_so() -> None:
    few = {"kind": Range(0, 0, False, False, ("a", "b", "c")), "size": Range(1, 2, False, True, None)}
    ended: list[Ended] = []
    while found := propose(few, TUNE, ended, {"kind": "a", "size": 1}, 2):
        for values in found:
            ended.append(Ended(len(ended), values, "stopped" if len(ended) % 3 else "complete", None if len(ended) % 3 else 1.0, {1: 1.0}))
    assert len(ended) == 6
    assert len({str(sorted(one.values.items())) for one in ended}) == 6


def test_present_numbers_outside_the_ranges_are_tried_and_teach_nothing() -> None:
    ended = [Ended(0, {"x": 99.0, "kind": "b"}, "complete", 5.0)]
    assert propose(RANGES, TUNE, ended, {}, 2) == propose(RANGES, TUNE, ended, PRESENT, 2)
    assert all(0 <= one["x"] <= 10 for one in propose(RANGES, TUNE, ended, {}, 2))


@pytest.mark.parametrize(
    ("points", "last", "step"),
    [
        ({10: 0.5, 20: 0.4}, 30, None),
        ({10: 0.9, 20: 0.4}, 30, 10),
        ({10: 0.5, 20: 0.5, 30: 0.5}, 40, 20),
        ({10: 0.5, 20: 0.3, 30: 0.9}, 40, None),  # its best so far counts
        ({10: 0.5, 20: 0.3, 30: 0.9, 40: 0.9}, 40, None),
        ({10: 0.6, 15: 9.0}, 40, None),  # nobody to compare with at this step
    ],
)
def test_a_trial_is_stopped_where_it_is_worse_than_the_median(points: dict[int, float], last: int, step: int | None) -> None:
    ended = [
        Ended(0, {}, "complete", 0.2, {10: 0.8, 20: 0.5, 30: 0.4, 40: 0.2}),
        Ended(1, {}, "complete", 0.2, {10: 0.6, 20: 0.4, 30: 0.4, 40: 0.2}),
        Ended(2, {}, "stopped", None, {10: 0.1}),  # does not count
    ]
    assert stopped_at(points, ended, TUNE, last) == step
    assert stopped_at(points, ended[:1], TUNE, last) is None  # too few to judge by


def test_no_trial_is_stopped_in_its_first_steps() -> None:
    ended = [Ended(number, {}, "complete", 0.2, {10: 0.5, 20: 0.5, 30: 0.5}) for number in range(2)]
    assert [stopped_at({10: 0.9, 20: 0.9, 30: 0.9}, ended, replace(TUNE, spared_share=share), 40) for share in (0, 0.5, 0.75)] == [
        10,
        20,
        30,
    ]


def test_the_number_that_decides_is_the_important_one() -> None:
    ended = study(12)
    shares = importances(RANGES, TUNE, ended)
    assert shares["x"] > 0.7
    assert shares == importances(RANGES, TUNE, ended[::-1])
    assert importances(RANGES, TUNE, ended[:1]) == {}
