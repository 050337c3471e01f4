"""Checkouts in which trials run, each in one of them: what a stage comes to with other numbers, from the run-cache where it is known."""

import json
import queue
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows import graph, plan, processes, settings, stages
from flows.data import forgetting
from flows.display import Display
from flows.graph import Shape
from flows.history import checkouts, run_commits
from flows.history.git import commit_of, git
from flows.stages import StageResult
from flows.trials.watch import Watch
from model.errors import UserError
from tasks import params, shown, tracking

LOSS = "validation_loss"
FULL = "make room"  # what errors say that are the disk's fault and not the trial's
KILLED = "exit code 137"
SAME_DATE = {f"GIT_{who}_DATE": "2000-01-01T00:00:00 +0000" for who in ("AUTHOR", "COMMITTER")}  # the same files are the same commit

Hopeless = Callable[[Mapping[int, float]], bool]  # whether a curve of validation losses, by step, is not worth going on


class TrialFailed(UserError):
    """The stage cannot be run with these numbers."""


@dataclass(frozen=True)
class Trial:
    """A stage with `values` (by dotted name) in params.yaml; `folder` keeps its curve and checkpoints until it is over."""

    name: str
    stage: str
    values: Mapping[str, Any]
    folder: Path

    @property
    def numbers(self) -> str:
        """Its values, for people."""
        return ", ".join(f"{name.rpartition('.')[2]} {value}" for name, value in self.values.items()) or "the present numbers"


@dataclass(frozen=True)
class Trained:
    """What came of a trial; `loss` is None if it was stopped. `points`: validation losses by step."""

    outcome: stages.Outcome
    key: str | None
    seconds: float
    points: dict[int, float]
    loss: float | None


class Lanes:
    """As many checkouts of the project, as it lies on disk, as stages may run at once; used from several threads."""

    def __init__(self, root: Path, projects: list[Path], display: Display, commit: str) -> None:
        self.commit = commit
        self.root, self.display, self.width = root, display, len(projects)
        self._free: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for project in projects:
            self._free.put(project)
        self._base = (projects[0] / "params.yaml").read_text(encoding="utf-8")
        with graph.opened(projects[0]) as repo:
            self.shapes = graph.shapes(repo)
        self._above = threading.Lock()  # what trials have in common is made once
        self._packs: set[processes.Pack] = set()
        self._stopped = False
        self._lock = threading.Lock()

    def key(self, stage: str, values: Mapping[str, Any]) -> str:
        """DVC's key of `stage` with these values, after what it needs has been made.

        Raises:
            UserError: something that it needs fails, or a value is not allowed.
        """
        with self._lane(values) as project:
            self._bring_above(project, stage, f"{stage}: what it needs", None)
            with graph.opened(project) as repo:
                found = {one.name: decision.key for one, decision in plan.foresee(repo, project)}[stage]
        if found is None:
            raise UserError(f"{stage}: a stage that DVC cannot keep cannot be tried with other numbers; name another")
        return found

    def train(self, trial: Trial, parent: str | None, hopeless: Hopeless) -> Trained:
        """What `trial` comes to, a child of `parent` in MLflow. It is stopped once its curve is `hopeless`.

        Raises:
            TrialFailed: its command fails.
            UserError: something else does.
        """
        with self._lane(trial.values) as project, _checkpoints_in(project, trial.folder):
            self._bring_above(project, trial.stage, trial.name, parent)
            result, watch = self._bring(project, trial.stage, trial.name, trial.folder, parent, hopeless, trial.numbers)
            if watch.stopped:
                done = Trained(result.outcome, watch.key, result.seconds, watch.losses, None)
            else:
                self._require(result)
                shape = self.shapes[trial.stage]
                losses = shown.curves(project / shape.out, {}).get(LOSS, watch.losses)
                done = Trained(result.outcome, result.key, result.seconds, losses, _loss(project, shape))
                if watch.key is None and shape.tracked and result.key is not None:  # nothing ran
                    self._sync(project, result, parent)
        shutil.rmtree(trial.folder, ignore_errors=True)
        return done

    def stop(self) -> None:
        """End every command at once; none begins after it."""
        with self._lock:
            self._stopped = True
            for pack in self._packs:
                pack.kill()

    @contextmanager
    def _lane(self, values: Mapping[str, Any]) -> Iterator[Path]:
        """A checkout that nobody uses, with `values` in its params.yaml."""
        project = self._free.get()
        try:
            settings.save(project, self._base)
            settings.write(project, assignments(values))
            yield project
        finally:
            self._free.put(project)

    def _bring_above(self, project: Path, stage: str, name: str, parent: str | None) -> None:
        """Bring what `stage` needs with the values of this checkout up to date."""
        with self._above:
            with graph.opened(project) as repo:
                above = graph.upstream(graph.shapes(repo), [stage]) - {stage}
                stale = [one.name for one, decision in plan.foresee(repo, project) if one.name in above and decision.state != "fresh"]
            for one in stale:
                folder = project / ".stemma" / "above"
                result, _ = self._bring(project, one, f"{one}, for {name}", folder, parent, lambda _: False)
                self._require(result)

    def _bring(
        self, project: Path, stage: str, name: str, folder: Path, parent: str | None, hopeless: Hopeless, why: str | None = None
    ) -> tuple[StageResult, Watch]:
        shape, pack = self.shapes[stage], processes.Pack(project)
        with self._lock:
            self._packs.add(pack)
            if self._stopped:
                pack.kill()

        def open_run(key: str) -> tracking.StageRun | None:
            return tracking.StageRun.open(self.root, stage, key, parent, self._section(project, stage)) if shape.tracked else None

        watch = Watch(folder / f"{stage}.jsonl", LOSS, open_run, hopeless, pack.kill)
        status: tracking.Unfinished | None = "FAILED"
        try:
            result = stages.bring_up_to_date(pack, stage, lambda _, key, reasons: self._begin(watch, name, key, [why] if why else reasons))
            status = None if result.outcome == "ran" else status
        finally:
            watch.close("KILLED" if self._stopped or watch.stopped else status)
            self.display.leaves(name)
            self._packs.discard(pack)
        if result.outcome == "ran" and shape.tracked:
            self._sync(project, result, parent)
        return result, watch

    def _begin(self, watch: Watch, name: str, key: str | None, reasons: list[str]) -> dict[str, str]:
        progress = self.display.begins(name, reasons)
        return {"STEMMA_PROGRESS": str(progress)} | (watch.begin(key) if key else {})

    def _sync(self, project: Path, result: StageResult, parent: str | None) -> None:
        """See that MLflow has the run behind the outputs, wholly."""
        shape = self.shapes[result.name]
        metrics, out = project / (shape.metrics or shape.out), project / shape.out
        tracking.sync(self.root, result.name, result.key or "", parent, self._section(project, result.name), metrics, out)

    def _section(self, project: Path, stage: str) -> dict[str, Any]:
        if not self.shapes[stage].params:
            return {}
        return params.section(params.read(project / "params.yaml"), stage.replace("@", ".", 1))

    def _require(self, result: StageResult) -> None:
        if result.outcome != "failed":
            return
        said = "; ".join(result.reasons).partition("; `stemma run")[0]
        if self._stopped or FULL in said or KILLED in said or "exit code" not in said:
            raise UserError(said)
        raise TrialFailed(said)


@contextmanager
def opened(root: Path, display: Display) -> Iterator[Lanes]:
    """Checkouts for trials, removed in the end with every process in them; in the order of `run.parallel_stages`.

    Raises:
        UserError: git refuses, or the data is not in the cache.
    """
    width = int(params.select(params.read(root / "params.yaml"), "run.parallel_stages"))
    forgetting.keep_away(root, display.says)
    tree = run_commits.with_results(root, run_commits.snapshot(root))
    head = commit_of(root, "HEAD")
    commit = git(root, "commit-tree", tree, *(["-p", head] if head else []), stdin="trials\n", variables=run_commits.AUTHOR | SAME_DATE)
    with ExitStack() as places:
        lanes = Lanes(root, [places.enter_context(checkouts.isolated(root, commit)) for _ in range(width)], display, commit)
        try:
            yield lanes
        finally:
            lanes.stop()


@contextmanager
def _checkpoints_in(project: Path, folder: Path) -> Iterator[None]:
    """Keep a stage's checkpoints in `folder`, where its trial finds them after a kill, in whichever checkout it goes on."""
    place, kept = project / ".stemma" / "checkpoints", folder / "checkpoints"
    kept.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    place.symlink_to(kept)
    try:
        yield
    finally:
        place.unlink()


def assignments(values: Mapping[str, Any]) -> list[str]:
    """Values by dotted name as `-S` takes them."""
    return [f"{name}={json.dumps(value)}" for name, value in values.items()]


def _loss(project: Path, shape: Shape) -> float:
    if shape.metrics is None:
        raise UserError(f"{shape.name}: it has no metrics in dvc.yaml, so there is nothing to compare; name another")
    numbers = json.loads((project / shape.metrics).read_text(encoding="utf-8"))
    if LOSS not in numbers:
        raise UserError(f"{shape.name}: its metrics have no {LOSS}; name a stage that has one")
    return float(numbers[LOSS])
