"""Section `tune` of params.yaml: which numbers `stemma tune` may vary, and how far. No stage reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, MinLen

from model.errors import UserError
from model.params import STRICT, Positive, Share
from tasks import params

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

DIGITS = 3  # of a number that is drawn: more of them decide nothing and are hard to read
YARDSTICKS = {"max_validation_examples", "masking", "mask_probability", "span"}  # they decide what a validation loss measures


@dataclass(frozen=True, kw_only=True)
class Tune:
    """How trials are proposed and stopped; `ranges` has those of each stage where the stage's section would stand."""

    __pydantic_config__ = STRICT

    seed: Annotated[int, Ge(0)]
    batch: Positive  # trials proposed together
    random_trials: Positive  # before proposals learn from what there is
    min_finished: Positive  # trials that came to their end before one is stopped
    spared_share: Share  # of max_steps, in which none is stopped
    ranges: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Span:
    """All numbers between two."""

    __pydantic_config__ = STRICT

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True, kw_only=True)
class Choices:
    """One of several values."""

    __pydantic_config__ = STRICT

    choices: Annotated[list[Any], MinLen(1)]


@dataclass(frozen=True)
class Range:
    """What a number may be: between `low` and `high`, whole or not, or one of `choices`."""

    low: float
    high: float
    log: bool
    whole: bool
    choices: tuple[Any, ...] | None

    def distribution(self) -> "BaseDistribution":
        """As Optuna has it."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices is not None:
            return CategoricalDistribution(self.choices)
        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def tidy(self, value: Any) -> Any:
        """A drawn number as it is tried and written: with few digits, and in the range still."""
        if self.choices is not None or self.whole:
            return value
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)

    def holds(self, value: Any) -> bool:
        """Whether a value could have been drawn."""
        if self.choices is not None:
            return value in self.choices
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def ends(self) -> list[Any]:
        """The values that show whether all are allowed."""
        if self.choices is not None:
            return list(self.choices)
        return [int(self.low), int(self.high)] if self.whole else [self.low, self.high]


def settings(sections: Mapping[str, Any]) -> Tune:
    """Section `tune`.

    Raises:
        UserError: there is none, or a key is unknown, missing or out of range.
    """
    if "tune" not in sections:
        raise UserError("params.yaml: tune: no such section; declare ranges there, docs/trials.md shows how")
    return params.build(Tune, sections["tune"], "tune")


def declared(sections: Mapping[str, Any], stage: str) -> dict[str, Range]:
    """The ranges of `stage` (`finetune@sentiment`) by key.

    Raises:
        UserError: there are none, one is empty or for a key that the stage does not read; whether the ends are allowed is not looked at.
    """
    name = stage.replace("@", ".", 1)
    below: Any = settings(sections).ranges
    for key in name.split("."):
        below = below.get(key) if isinstance(below, Mapping) else None
    if not isinstance(below, Mapping) or not below:
        example = "{learning_rate: {low: 1.0e-4, high: 1.0e-3, log: true}}"
        raise UserError(f"params.yaml: tune.ranges.{name}: no ranges are declared; add them, such as {example}")
    return {key: _range(key, spec, params.section(sections, name), name) for key, spec in sorted(below.items())}


def _range(key: str, spec: Any, section: Mapping[str, Any], name: str) -> Range:
    where = f"params.yaml: tune.ranges.{name}.{key}"
    if not isinstance(spec, Mapping):
        raise UserError(f"{where}: {spec!r} is no range; write {{low: ..., high: ...}} or {{choices: [...]}}")
    if key not in section:
        raise UserError(f"{where}: {name} has no such number; there is {', '.join(section)}")
    if key in YARDSTICKS:
        raise UserError(f"{where}: it decides what the validation loss measures, so trials would not compare; take it out")
    if "choices" in spec:
        chosen = params.build(Choices, spec, f"tune.ranges.{name}.{key}")
        return Range(0, 0, False, False, tuple(chosen.choices))
    span = params.build(Span, spec, f"tune.ranges.{name}.{key}")
    if not isinstance(section[key], int | float) or isinstance(section[key], bool):
        raise UserError(f"{where}: {name}.{key} is {section[key]!r} and no number; declare {{choices: [...]}}")
    if span.low > span.high:
        raise UserError(f"{where}: low {span.low:g} is above high {span.high:g}; swap them")
    if span.log and span.low <= 0:
        raise UserError(f"{where}: low {span.low:g} has no logarithm; raise it, or leave `log` out")
    whole = isinstance(section[key], int)
    if whole and not (span.low.is_integer() and span.high.is_integer()):
        raise UserError(f"{where}: {name}.{key} is a whole number; let low and high be whole")
    return Range(span.low, span.high, span.log, whole, None)
