"""`stemma tune`: the numbers of a stage with the lowest validation loss, by trials that are proposed, run, stopped and remembered."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows import graph, settings, stopping, workspace
from flows.display import Display
from flows.trials import journal, lanes, proposals, ranges, recording
from flows.trials.journal import Journal
from flows.trials.lanes import LOSS, Lanes, Trial, TrialFailed
from flows.trials.proposals import Ended
from flows.trials.ranges import Range, Tune
from model.errors import UserError
from tasks import params, studies

PICTURES = ("history.png", "importance.png")


@dataclass(frozen=True)
class Tuned:
    """A study of one stage; `best` is the number of a trial. Trial 0 had the present numbers."""

    stage: str
    study: str
    trials: list[Ended]
    best: int
    importances: dict[str, float] = field(default_factory=dict)
    pictures: list[Path] = field(default_factory=list)

    @property
    def winner(self) -> Ended:
        """The trial with the lowest loss."""
        return next(one for one in self.trials if one.number == self.best)

    def values(self) -> dict[str, Any]:
        """Its numbers by dotted name."""
        return _dotted(self.stage, self.winner.values)

    def to_json(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "study": self.study,
            "trials": [one.to_json() for one in self.trials],
            "best": self.best,
            "importances": self.importances,
            "pictures": [str(file) for file in self.pictures],
        }


def tune(root: Path, stages: Sequence[str], num_trials: int, say: workspace.Say) -> list[Tuned]:
    """A study for each of `stages` with this many trials, those of earlier commands among them.

    They come in the order of the graph, and each has the best numbers of those before it.

    Raises:
        UserError: no such stage or no ranges, a range is not allowed, or a stage fails with the present numbers.
    """
    if num_trials < 2:
        raise UserError(f"--trials {num_trials}: nothing to compare; give at least 2, the first has the present numbers")
    workspace.check(root)
    wanted = _checked(root, stages)
    found: list[Tuned] = []
    with stopping.promptly(), Display(root) as display, lanes.opened(root, display) as places:
        ordered = [name for name in places.shapes if name in wanted]
        fixed: dict[str, Any] = {}
        for stage in ordered:
            found.append(_Study(root, stage, wanted[stage], fixed, places, say).run(num_trials))
            fixed |= found[-1].values()
    return found


def adopted(root: Path, found: Sequence[Tuned]) -> str:
    """The text of params.yaml with the best numbers, where they are others; nothing is saved."""
    sections = params.read(root / "params.yaml")
    better: dict[str, Any] = {}
    for one in found:
        present = params.section(sections, one.stage.replace("@", ".", 1))
        better |= _dotted(one.stage, {key: value for key, value in one.winner.values.items() if present[key] != value})
    if not better:
        return (root / "params.yaml").read_text(encoding="utf-8")
    return settings.change(root, lanes.assignments(better))


def _checked(root: Path, stages: Sequence[str]) -> dict[str, dict[str, Range]]:
    """The ranges of each stage, all of whose values are allowed."""
    sections = params.read(root / "params.yaml")
    with graph.opened(root) as repo:
        graph.upstream(graph.shapes(repo), stages)
    settings.check(root, sections)
    wanted = {stage: ranges.declared(sections, stage) for stage in stages}
    for stage, declared in wanted.items():
        for key, limits in declared.items():
            for end in limits.ends():
                try:
                    settings.change(root, lanes.assignments(_dotted(stage, {key: end})))
                except UserError as error:
                    raise UserError(f"params.yaml: tune.ranges.{stage.replace('@', '.')}.{key}: {end!r} is not allowed ({error})") from None
    return wanted


class _Study:
    """One stage: its journal, its run in MLflow, its trials in batches."""

    def __init__(
        self, root: Path, stage: str, declared: dict[str, Range], fixed: Mapping[str, Any], places: Lanes, say: workspace.Say
    ) -> None:
        """`fixed`: numbers of other stages that differ from params.yaml, by dotted name."""
        self.root, self.stage, self.declared, self.fixed, self.places, self.say = root, stage, declared, dict(fixed), places, say
        sections = params.read(root / "params.yaml")
        self.settings: Tune = ranges.settings(sections)
        section = params.section(sections, stage.replace("@", "."))
        self.present = {key: section[key] for key in declared}
        self.last: int | None = None if "max_steps" in declared else section.get("max_steps")
        self.run_id: str | None = None

    def run(self, num_trials: int) -> Tuned:
        """As far as `num_trials`."""
        study = self._identity()
        with (
            journal.opened(self.root, self.stage, study) as kept,
            recording.recorded(self.places, self.stage, study, f"tune {self.stage}", lambda: self._shown(kept, num_trials)) as run_id,
        ):
            self.run_id = run_id
            if kept.ended:
                self.say(f"{self.stage}: {len(kept.ended)} trials of study {study} are known")
            for first in range(0, num_trials, self.settings.batch):
                if not self._batch(kept, first, num_trials):
                    self.say(f"{self.stage}: the ranges hold nothing that has not been tried")
                    break
            return self._concluded(kept, study, num_trials)

    def _identity(self) -> str:
        """What the study is of: what the stage is made from, but for the numbers that vary, and the rules for varying them."""
        lowest = {key: limits.ends()[0] for key, limits in self.declared.items()}
        key = self.places.key(self.stage, self.fixed | _dotted(self.stage, lowest))
        rules: dict[str, Any] = {"seed": self.settings.seed, "batch": self.settings.batch, "random": self.settings.random_trials}
        rules |= {"finished": self.settings.min_finished, "spared": self.settings.spared_share}
        rules |= {"ranges": {key: repr(limits) for key, limits in self.declared.items()}}
        return hashlib.sha256(json.dumps([self.stage, key, rules], sort_keys=True).encode()).hexdigest()[:12]

    def _batch(self, kept: Journal, first: int, num_trials: int) -> bool:
        """Run the trials of a batch that are not over, several at once; False if there are none to propose."""
        earlier = kept.before(first)
        if first not in kept.proposed:
            kept.propose(first, proposals.propose(self.declared, self.settings, earlier, self.present, self.settings.batch))
        proposed = dict(enumerate(kept.proposed[first], first))
        left = [number for number in proposed if number < num_trials and number not in kept.ended]
        with ThreadPoolExecutor(self.places.width) as threads:
            futures: list[Future[Ended]] = [threads.submit(self._trial, kept, number, proposed[number], earlier) for number in left]
            try:
                for future in as_completed(futures):
                    kept.end(future.result())
                    self.say(self._told(kept, future.result()))
            except BaseException:
                self.places.stop()
                for future in futures:
                    future.cancel()
                raise
        return len(proposed) == self.settings.batch

    def _trial(self, kept: Journal, number: int, values: dict[str, Any], earlier: Sequence[Ended]) -> Ended:
        """One trial. Where it is stopped depends on its curve and on the trials of earlier batches alone, whether or not it had to run."""
        trial = Trial(f"trial {number}", self.stage, self.fixed | _dotted(self.stage, values), kept.folder / "running" / str(number))
        try:
            done = self.places.train(trial, self.run_id, lambda points: self._stopped_at(points, earlier) is not None)
        except TrialFailed as error:
            if number == 0:
                raise
            return Ended(number, values, "failed", reason=str(error))
        step = self._stopped_at(done.points, earlier)
        points = {one: loss for one, loss in done.points.items() if step is None or one <= step}
        ended = Ended(number, values, "complete", done.loss, points, round(done.seconds, 3), done.key)
        if step is not None:
            ended = Ended(number, values, "stopped", None, points, round(done.seconds, 3), done.key, f"at step {step}")
        facts = {"stemma.trial.state": ended.state} | ({"stemma.loss": repr(ended.value)} if ended.value is not None else {})
        recording.note(self.root, self.run_id, trial, ended.key, facts)
        return ended

    def _stopped_at(self, points: Mapping[int, float], earlier: Sequence[Ended]) -> int | None:
        return proposals.stopped_at(points, earlier, self.settings, self.last)

    def _told(self, kept: Journal, ended: Ended) -> str:
        numbers = ", ".join(f"{key} {value}" for key, value in ended.values.items())
        came = f"{LOSS} {ended.value:.4f}" if ended.value is not None else f"{ended.state} {ended.reason}"
        best = min((one for one in kept.ended.values() if one.value is not None), key=_by_loss, default=None)
        so_far = f"; best so far {best.value:.4f}, trial {best.number}" if best else ""
        return f"{self.stage} trial {ended.number}: {came} with {numbers} ({ended.seconds:.1f} s){so_far}"

    def _concluded(self, kept: Journal, study: str, num_trials: int) -> Tuned:
        shutil.rmtree(kept.folder / "running", ignore_errors=True)  # what failed trials have left
        trials = kept.before(num_trials)
        best = min((one for one in trials if one.value is not None), key=_by_loss)
        shares = proposals.importances(self.declared, self.settings, trials)
        files = [kept.folder / name for name in PICTURES]
        studies.draw_history(files[0], f"{self.stage}: {len(trials)} trials", [one.to_json() for one in trials])
        studies.draw_importances(files[1], f"{self.stage}: what the loss depends on", shares)
        return Tuned(self.stage, study, trials, best.number, shares, files)

    def _shown(self, kept: Journal, num_trials: int) -> tuple[str, list[Path]]:
        """What MLflow shows of the study."""
        trials = kept.before(num_trials)
        best = min((one for one in trials if one.value is not None), key=_by_loss, default=None)
        return studies.table([one.to_json() for one in trials], best.number if best else None), [kept.folder / name for name in PICTURES]


def _by_loss(one: Ended) -> tuple[float, int]:
    assert one.value is not None
    return one.value, one.number


def _dotted(stage: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{stage.replace('@', '.', 1)}.{key}": value for key, value in values.items()}
