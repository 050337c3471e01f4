"""Sealing takes a fiftieth of the time at most, however long one checkpoint takes."""

import time

import pytest

from model.rhythm import Rhythm


@pytest.mark.parametrize("cost", [0.0005, 0.004])
def test_the_share_of_the_time_is_kept(cost: float) -> None:
    rhythm, num_steps = Rhythm(share=0.1), 0
    while rhythm.seconds < 0.5:
        spin(0.0002)
        num_steps += 1
        if rhythm.due(1000):
            with rhythm.sealing():
                spin(cost)
    assert 1 < rhythm.num_sealed < num_steps
    assert cost * rhythm.num_sealed <= rhythm.seconds_sealing <= 0.11 * rhythm.seconds


def test_the_first_one_is_due_when_its_size_would_not_cost_more() -> None:
    rhythm = Rhythm(share=0.5)
    time.sleep(0.05)
    assert rhythm.due(1_000_000)  # guessed to take 0.02 seconds
    assert not rhythm.due(100_000_000)


def spin(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass
