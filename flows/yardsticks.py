"""`stemma yardsticks`: every comparison of what lies in build/ with simple methods, those that fail with the reason."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flows import documents
from flows.plan import recorded_seconds
from model import applications
from model.errors import UserError

REMEDY = "`stemma run` makes it again"
LOWER_IS_BETTER = ("bits_per_byte", "masked_cross_entropy")


@dataclass(frozen=True)
class Comparison:
    """A model or base beside one yardstick, on the same examples or documents."""

    name: str
    on: str  # "all", or a language or source
    count: int  # examples or documents
    metric: str
    value: float
    yardstick: str
    other: float
    difference: float  # of the value from the other
    low: float
    high: float
    p_value: float
    beats: bool
    reason: str  # why it does not; empty where it does
    synthetic: bool

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def comparisons(root: Path) -> list[Comparison]:
    """All comparisons that the stages evaluate and assess made the last time they ran.

    Raises:
        UserError: neither has run, or only an earlier version of it.
    """
    found = [*_of_bases(root), *_of_applications(root)]
    if not found:
        raise UserError("build: nothing is evaluated yet; `stemma run` does that")
    return found


def _of_bases(root: Path) -> Iterator[Comparison]:
    for file in sorted(root.glob("build/assess/*/assessment.json")):
        judged = documents.remembered(file, REMEDY)
        name, metric = judged["base"], judged["metric"]
        parts = {"all": judged["all"]} | judged["by_lang"] | judged["by_source"]
        for on, part in parts.items():
            for yardstick, other in part["yardsticks"].items():
                count, told = part["num_documents"], other["comparison"]
                reason = _reason(metric, told, f"{count} documents", _trained(root, f"pretrain@{name}"))
                yield Comparison(name, on, count, metric, part["value"], yardstick, other["value"], **told, reason=reason, synthetic=False)


def _of_applications(root: Path) -> Iterator[Comparison]:
    for file in sorted(root.glob("build/evaluate/*/evaluation.json")):
        judged = documents.remembered(file, REMEDY)
        if "by_lang" not in judged:
            raise UserError(f"{file.relative_to(root)}: of an earlier version; `stemma run` makes it again")
        name, metric = judged["application"], judged["metric"]
        parts = {"all": judged} | ({} if _pairs_languages(name) else judged["by_lang"])
        for on, part in parts.items():
            for yardstick, told in part["comparison"].items():
                count, value, other = part["num_examples"], part["metrics"][metric]["value"], part["baseline"][yardstick][metric]["value"]
                reason = _reason(metric, told, f"{count} examples", _trained(root, f"finetune@{name}"))
                yield Comparison(name, on, count, metric, value, yardstick, other, **told, reason=reason, synthetic=judged["synthetic"])


def _pairs_languages(application: str) -> bool:
    """Whether each row is of two languages, and so a row of neither."""
    return application in applications.names() and "source_lang" in applications.load(application).SCHEMA.names


def _reason(metric: str, told: Mapping[str, Any], sample: str, trained: str) -> str:
    if told["beats"]:
        return ""
    better = told["difference"] < 0 if metric in LOWER_IS_BETTER else told["difference"] > 0
    return f"better, but on {sample} that may be chance; {trained}" if better else f"not better after {trained}"


def _trained(root: Path, stage: str) -> str:
    """How much a model was trained, in numbers that say why it is no better than it is."""
    file = root / f"build/metrics/{stage}.json"
    if not file.exists():
        return f"{stage}, which has no numbers now; `stemma run` completes it"
    numbers, seconds = documents.remembered(file, REMEDY), recorded_seconds(root).get(stage)
    told = f"{numbers['num_steps']:,.0f} steps"
    if seconds is not None:
        told += f" in {seconds:,.0f} s"
    if "num_tokens" in numbers:
        tokens = numbers["num_tokens"]
        told += f" on {tokens / 1e6:,.1f} M tokens" if tokens >= 1e5 else f" on {tokens:,.0f} tokens"
    return f"{told}, with {numbers['num_parameters'] / 1e6:,.1f} M parameters"
