"""What to try next, and what to give up: functions of the trials that are over, so a study goes on as if it had never been interrupted.

The numbers come from a tree-structured Parzen estimator (Bergstra et al., 2011), the rule for stopping is the median rule (Golovin et al.,
2017), both as Optuna has them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from flows.trials.ranges import Range, Tune

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

State = Literal["complete", "stopped", "failed"]
Ranges = Mapping[str, Range]
DRAWS = 50  # for one new trial, half of them at random, before there is nothing new in the ranges


@dataclass(frozen=True)
class Ended:
    """A trial that is over; `points` are the validation losses of its curve by step, up to where it was stopped."""

    number: int
    values: dict[str, Any]  # by key of the stage's section
    state: State
    value: float | None = None  # its validation loss, if complete
    points: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0
    key: str | None = None  # DVC's, of the stage
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def propose(ranges: Ranges, tune: Tune, ended: Sequence[Ended], present: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """The values of the next `count` trials, none of which has been tried; fewer where the ranges hold no more.

    The very first trial has the `present` values. A proposal that is known already takes the known result, and another is drawn; those
    of one call see each other as unfinished and bad (`constant_liar`), so that they spread.
    """
    from optuna.samplers import RandomSampler
    from optuna.trial import TrialState

    study = _study(ranges, tune, ended, seed=len(ended))
    known = {_identity(one.values): one for one in ended}
    found = [] if ended else [dict(present)]
    for draw in range(DRAWS * count):
        if len(found) >= count:
            break
        if draw == DRAWS * count // 2:
            study.sampler = RandomSampler(_seed(tune, len(ended)))
        trial = study.ask({key: one.distribution() for key, one in ranges.items()})
        values = {key: ranges[key].tidy(value) for key, value in trial.params.items()}
        before = known.get(_identity(values))
        if before is not None and before.value is not None:
            study.tell(trial, before.value)
        elif before is not None or values in found:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            found.append(values)  # its trial stays unfinished
    return found[:count]


def stopped_at(points: Mapping[int, float], ended: Sequence[Ended], tune: Tune, last: int | None) -> int | None:
    """The first step, before the `last` and after the spared ones, at which these `points` are worse than the median of the `ended`."""
    from optuna.pruners import MedianPruner
    from optuna.trial import TrialState, create_trial

    spared = int(tune.spared_share * (last or 0))
    pruner, study = MedianPruner(n_startup_trials=tune.min_finished, n_warmup_steps=spared), _study({}, tune, ended, seed=0)
    steps = sorted(points)
    for place, step in enumerate(steps, 1):
        so_far = create_trial(state=TrialState.RUNNING, intermediate_values={one: points[one] for one in steps[:place]})
        if step != last and pruner.prune(study, so_far):
            return step
    return None


def importances(ranges: Ranges, tune: Tune, ended: Sequence[Ended]) -> dict[str, float]:
    """The share of the losses' variance that each number explains (fANOVA, Hutter et al., 2014); none of trials that are too alike."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    study = _study(ranges, tune, ended, seed=0)
    losses = {trial.value for trial in study.trials if trial.value is not None}
    if len(losses) < 2:
        return {}
    try:
        found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=tune.seed))
    except RuntimeError:  # no tree of its forest has a split
        return {}
    return {name: round(float(share), 4) for name, share in found.items()}


def _study(ranges: Ranges, tune: Tune, ended: Sequence[Ended], seed: int) -> "Study":
    """The trials that are over, in the order of their numbers, in memory."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=_seed(tune, seed), n_startup_trials=tune.random_trials, multivariate=True, constant_liar=True)
    study = optuna.create_study(direction="minimize", sampler=sampler)
    for one in sorted(ended, key=lambda one: one.number):
        if not ranges or all(limits.holds(one.values.get(key)) for key, limits in ranges.items()):
            study.add_trial(_frozen(ranges, one))
    return study


def _frozen(ranges: Ranges, one: Ended) -> "FrozenTrial":
    """A trial as Optuna has it; one that failed counts as the worst of those that were stopped."""
    from optuna.trial import TrialState, create_trial

    return create_trial(
        state=TrialState.COMPLETE if one.state == "complete" else TrialState.PRUNED,
        value=one.value,
        params={key: one.values[key] for key in ranges},
        distributions={key: limits.distribution() for key, limits in ranges.items()},
        intermediate_values=dict(one.points) if one.state != "failed" else {},
    )


def _seed(tune: Tune, number: int) -> int:
    return int(np.random.SeedSequence((tune.seed, number)).generate_state(1)[0])


def _identity(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)
