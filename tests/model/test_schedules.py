"""The learning rate rises to its peak and comes down as its schedule says."""

from dataclasses import replace
from pathlib import Path

import pytest

from model.schedules import learning_rate
from tasks import params, pretrain

NAME = "pretrain.decoder"
PARAMS = params.build(pretrain.Params, params.section(params.read(Path(__file__).parents[2] / "params.yaml"), NAME), NAME)


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("cosine", [0.5, 1, 1, 0.8536, 0.5, 0.1464]),
        ("linear", [0.5, 1, 1, 0.75, 0.5, 0.25]),
        ("constant", [0.5, 1, 1, 1, 1, 1]),
        ("wsd", [0.5, 1, 1, 1, 1, 0.2929]),
    ],
)
def test_the_rate_rises_to_its_peak_and_follows_its_schedule(schedule: str, rates: list[float]) -> None:
    numbers = replace(PARAMS, max_steps=6, warmup_share=1 / 3, decay_share=1 / 3, learning_rate=1.0, schedule=schedule)
    assert [learning_rate(step, numbers) for step in range(1, 7)] == pytest.approx(rates, abs=1e-4)


def test_wsd_is_stable_until_its_decay_whatever_the_length_of_the_run() -> None:
    numbers = replace(PARAMS, warmup_share=0.1, decay_share=0.25, learning_rate=1.0, schedule="wsd", max_steps=100)
    rates = [learning_rate(step, numbers) for step in range(1, 101)]
    assert rates[9:76] == [1.0] * 67
    assert rates[75:] == sorted(rates[75:], reverse=True)
    assert 0 < rates[-1] < 0.03


def test_a_warm_up_may_take_the_whole_run_and_wsd_may_have_no_decay() -> None:
    numbers = replace(PARAMS, max_steps=4, learning_rate=1.0, schedule="wsd")
    assert [learning_rate(step, replace(numbers, warmup_share=1.0, decay_share=0.0)) for step in range(1, 5)] == [0.25, 0.5, 0.75, 1]
    assert [learning_rate(step, replace(numbers, warmup_share=0.0, decay_share=0.0)) for step in range(1, 5)] == [1, 1, 1, 1]
