"""The learning rate of each step, by the name of its schedule."""

import math

from .params import Training


def learning_rate(step: int, params: Training) -> float:
    """The rate of `step`, counted from 1: up linearly over the warm-up, then as the schedule says; what comes down is 0 just after the run.

    `wsd` (warm-up, stable, decay) holds the peak until the last `decay_share` of the steps and comes down by 1 - sqrt there (Haegele et
    al., 2024, "Scaling laws and compute-optimal training beyond fixed training durations").
    """
    warmup = round(params.max_steps * params.warmup_share)
    if step <= warmup:
        return params.learning_rate * step / warmup
    decay = min(round(params.max_steps * params.decay_share), params.max_steps - warmup)
    return params.learning_rate * _share_of_peak(params.schedule, step - warmup - 1, params.max_steps - warmup, decay)


def _share_of_peak(schedule: str, done: int, steps: int, decay: int) -> float:
    """After `done` of the `steps` that follow the warm-up; the last `decay` of them are wsd's decay."""
    match schedule:
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * (done / steps)))
        case "linear":
            return 1 - done / steps
        case "wsd":
            return 1 - math.sqrt(max(0, done - (steps - decay)) / max(1, decay))
        case _:
            return 1.0
