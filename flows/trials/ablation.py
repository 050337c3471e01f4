"""`stemma ablate`: a fine-tuning with and without each of its means, judged on the validation split."""

import math
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from flows import settings, stopping, workspace
from flows.display import Display
from flows.trials import lanes, recording, variants
from flows.trials.journal import FOLDER
from flows.trials.lanes import LOSS, Lanes, Trial, TrialFailed
from model.errors import UserError
from tasks import params

PRESENT = "as it is"


@dataclass(frozen=True)
class Row:
    """A variant; `losses` has one for each seed, `difference` is the mean difference to the present numbers with the same seed.

    `low` and `high`: the interval of the difference, by Student's t over the seeds; None of a single one.
    """

    name: str
    numbers: dict[str, Any]
    losses: list[float]
    loss: float | None
    difference: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""  # why it failed, or cannot be

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def cells(self) -> list[str]:
        """For a table."""
        numbers = ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in self.numbers.items())
        if self.loss is None or self.difference is None:
            return [self.name, numbers, "none", self.reason, ""]
        difference = "" if self.name == PRESENT else f"{self.difference:+.4f}"
        interval = f"{self.low:+.4f} to {self.high:+.4f}" if self.low is not None and self.name != PRESENT else ""
        return [self.name, numbers, f"{self.loss:.4f}", difference, interval]


@dataclass(frozen=True)
class Ablation:
    """All variants of one application."""

    application: str
    seeds: list[int]
    confidence: float
    rows: list[Row]

    def header(self) -> list[str]:
        return ["variant", "numbers", "validation loss", "difference", f"{self.confidence:.0%} interval"]

    def markdown(self) -> str:
        lines = [self.header(), ["---"] * 5, *(row.cells() for row in self.rows)]
        return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)

    def to_json(self) -> dict[str, Any]:
        return {
            "application": self.application,
            "seeds": self.seeds,
            "confidence": self.confidence,
            "rows": [row.to_json() for row in self.rows],
        }


def ablate(root: Path, application: str, num_seeds: int, say: workspace.Say) -> Ablation:
    """Every variant of section `ablate`, trained with this many seeds, beside the present numbers; nothing is trained twice.

    Raises:
        UserError: no such application, variants or key, or the training fails with the present numbers.
    """
    if num_seeds < 1:
        raise UserError(f"--seeds {num_seeds}: nothing to train; give at least 1")
    workspace.check(root)
    sections = params.read(root / "params.yaml")
    known = sections.get("finetune", {})
    if application not in known:
        raise UserError(f"{application}: no such application in params.yaml; there is {', '.join(known)}")
    stage, section = f"finetune@{application}", f"finetune.{application}"
    wanted: dict[str, dict[str, Any]] = {PRESENT: {}} | {
        name: variants.assigned(numbers, section) for name, numbers in variants.declared(sections).items()
    }
    refused = {name: reason for name, values in wanted.items() if (reason := _refused(root, sections, name, values))}
    first = params.section(sections, section)["seed"]
    seeds = list(range(first, first + num_seeds))
    with stopping.promptly(), Display(root) as display, lanes.opened(root, display) as places:
        found = Ablation(application, seeds, float(params.select(sections, "evaluate.confidence")), [])
        study = f"ablation of {application}, {places.commit[:12]}"
        with recording.recorded(places, stage, study, f"ablate {stage}", lambda: (found.markdown(), ())) as run_id:
            losses = _losses(root, stage, {name: wanted[name] for name in wanted if name not in refused}, seeds, places, run_id, say)
            found.rows.extend(
                Row(name, values, [], None, None, reason=refused[name])
                if name in refused
                else _row(name, values, losses[name], losses[PRESENT], found.confidence)
                for name, values in wanted.items()
            )
    return found


def _refused(root: Path, sections: Mapping[str, Any], name: str, values: Mapping[str, Any]) -> str:
    """Why this application cannot be trained so; empty if it can.

    Raises:
        UserError: there is no such key for any.
    """
    for key in values:
        above, _, last = key.rpartition(".")
        if last not in (there := params.section(sections, above)):
            raise UserError(f"params.yaml: ablate.{name}: {above} has no number called {last}; there is {', '.join(there)}")
    try:
        settings.change(root, lanes.assignments(values))
    except UserError as error:
        return str(error)
    return ""


Losses = dict[int, float | TrialFailed]  # by seed


def _losses(
    root: Path,
    stage: str,
    wanted: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    places: Lanes,
    run_id: str | None,
    say: workspace.Say,
) -> dict[str, Losses]:
    """Of each variant and seed, several at once; the first seed of all variants first. `run_id`: the ablation's in MLflow."""
    found: dict[str, Losses] = {name: {} for name in wanted}
    folder = root / FOLDER / f"ablation-{places.commit[:12]}"

    def train(name: str, seed: int) -> float | TrialFailed:
        values = dict(wanted[name]) | ({} if seed == seeds[0] else {f"{stage.replace('@', '.')}.seed": seed})
        title = f"{name}, seed {seed}"
        trial = Trial(title, stage, values, folder / title.replace("/", "-"))
        try:
            done = places.train(trial, run_id, lambda _: False)
        except TrialFailed as error:
            if name == PRESENT:
                raise
            return error
        assert done.loss is not None  # nothing is stopped here
        recording.note(root, run_id, trial, done.key, {"stemma.loss": repr(done.loss)})
        return done.loss

    with ThreadPoolExecutor(places.width) as threads:
        futures: dict[Future[float | TrialFailed], tuple[str, int]] = {
            threads.submit(train, name, seed): (name, seed) for seed in seeds for name in wanted
        }
        try:
            for future in as_completed(futures):
                name, seed = futures[future]
                came = found[name][seed] = future.result()
                say(f"{name}, seed {seed}: {came if isinstance(came, TrialFailed) else f'{LOSS} {came:.4f}'}")
        except BaseException:
            places.stop()
            for future in futures:
                future.cancel()
            raise
    shutil.rmtree(folder, ignore_errors=True)
    return found


def _row(name: str, numbers: Mapping[str, Any], losses: Losses, present: Losses, confidence: float) -> Row:
    if failed := next((one for one in losses.values() if isinstance(one, TrialFailed)), None):
        return Row(name, dict(numbers), [], None, None, reason=str(failed))
    values = {seed: float(loss) for seed, loss in losses.items() if not isinstance(loss, TrialFailed)}
    pairs = [value - float(other) for seed, value in values.items() if not isinstance(other := present[seed], TrialFailed)]
    low, high = interval(pairs, confidence)
    return Row(name, dict(numbers), [values[seed] for seed in sorted(values)], fmean(values.values()), fmean(pairs), low, high)


def interval(differences: Sequence[float], confidence: float) -> tuple[float | None, float | None]:
    """Student's t interval of the mean; none of a single number."""
    if len(differences) < 2:
        return None, None
    from scipy.stats import t

    half = float(t.ppf((1 + confidence) / 2, len(differences) - 1)) * stdev(differences) / math.sqrt(len(differences))
    return fmean(differences) - half, fmean(differences) + half
