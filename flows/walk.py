"""One walk over dvc.yaml's graph: what is ready, what became of it, what is skipped. Knows no Prefect; its driver has the threads."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows import graph, processes, stages, workspace
from flows import plan as planning
from flows.data import forgetting
from flows.decision import State
from flows.display import Display
from flows.graph import Shape
from flows.history import rollback
from flows.history.sealing import Seal
from flows.repair import quick
from flows.stages import Outcome, StageResult
from flows.tracked import Status, Tracked
from model.errors import UserError
from tasks import params

if TYPE_CHECKING:
    from dvc.repo import Repo

REGISTER = "register@"
BAD = ("failed", "skipped")


@dataclass
class LifecycleResult:
    """What became of every stage, and the models there are now."""

    stages: list[dict[str, Any]]
    models: list[dict[str, Any]] = field(default_factory=list)
    run_commit: str | None = None  # None: it is not at its end

    @property
    def exit_code(self) -> int:
        return int(any(stage["outcome"] in BAD for stage in self.stages))

    def to_json(self) -> dict[str, Any]:
        return {"stages": self.stages, "models": self.models, "run_commit": self.run_commit}


class Walk:
    """The jobs of a lifecycle: its stages, and after them a registration for each application."""

    def __init__(
        self,
        root: Path,
        display: Display,
        shapes: dict[str, Shape],
        foreseen: Mapping[str, StageResult | State],
        only: Sequence[str] = (),
        force: Sequence[str] = (),
    ) -> None:
        """`foreseen`: what becomes of a stage if all before it come out as they are or were; of one that is not fresh, its state."""
        self.root, self.display, self.shapes, self.only, self.force = root, display, shapes, list(only), set(force)
        targets = graph.upstream(shapes, only or shapes)
        graph.upstream(shapes, force)
        self.pack = processes.Pack(root)
        self.tracked = Tracked(root, shapes)
        self.needs = {name: shape.needs for name, shape in shapes.items() if name in targets}
        self._stages = list(self.needs)
        self.seal = Seal(root, shapes, self._stages)
        for application in self.tracked.applications():
            if f"evaluate@{application}" in targets:
                self.needs[REGISTER + application] = (f"evaluate@{application}",)
        self.results: dict[str, StageResult] = {}
        self._foreseen = foreseen
        self.models: dict[str, dict[str, Any]] = {}
        self.urls: dict[str, str] = {}
        self._at_once = int(params.select(params.read(root / "params.yaml"), "run.parallel_stages"))
        self.stopped = False
        self._waiting = list(self.needs)
        self._active: set[str] = set()
        self._lock = threading.Lock()

    def take(self) -> list[str]:
        """The jobs to start now: all that they need is settled, and no more run at once than params.yaml allows."""
        ready = [name for name in self._waiting if all(need in self.results and need not in self._active for need in self._before(name))]
        taken = ready[: self._at_once - len(self._active)]
        self._active |= set(taken)
        self._waiting = [name for name in self._waiting if name not in taken]
        return taken

    def _before(self, name: str) -> Iterable[str]:
        """What has to be settled first: a registration names the run commit, which takes all stages."""
        return self._stages if name.startswith(REGISTER) else self.needs[name]

    def do(self, name: str) -> StageResult:
        """One job, in a thread of its own; skipped where something that it needs failed.

        Raises:
            UserError: a registration failed, and may be tried again.
        """
        if bad := [need for need in self.needs[name] if self.results[need].outcome in BAD]:
            return self._note(StageResult(name, "skipped", [f"{need} {self.results[need].outcome}" for need in bad]))
        if name.startswith(REGISTER):
            return self._register(name)
        result = self._as_foreseen(name) or stages.bring_up_to_date(self.pack, name, self._begin, name in self.force)
        self.tracked.ends(name, None if result.outcome == "ran" else "KILLED" if self.stopped else "FAILED")
        if not self.stopped and result.outcome in ("ran", "restored", "unchanged") and (url := self.tracked.sync(result)):
            self.urls[name] = url
        return self._note(result)

    def _as_foreseen(self, name: str) -> StageResult | None:
        undisturbed = name not in self.force and all(self.results[need].outcome in ("unchanged", "restored") for need in self.needs[name])
        foreseen = self._foreseen[name]
        return foreseen if undisturbed and isinstance(foreseen, StageResult) else None

    def settle(self, name: str, otherwise: str) -> None:
        """The job's thread has ended; `otherwise` is why, if the job left no result."""
        self._active.discard(name)
        if name not in self.results:
            self._note(StageResult(name, "failed", [f"{name}: {otherwise}"]))
        elif name.startswith(REGISTER) and self.results[name].outcome == "failed":
            self._note(self.results[name])  # it is not tried again

    def executes_nothing(self) -> bool:
        """Whether every stage is fresh or can be restored."""
        return not self.force and all(self._foreseen[name] != "stale" for name in self._stages)

    def alone(self) -> None:
        """Do what there is to do here, one job after the other."""
        while not self.finished:
            for name in self.take():
                with suppress(UserError):
                    self.do(name)
                self.settle(name, "ended without a word")

    @property
    def finished(self) -> bool:
        return not self._waiting and not self._active

    def result(self) -> LifecycleResult:
        """As far as the walk has come. Registrations are told by the models that they left, and as stages where they failed."""
        shown = [self.results[name] for name in self.needs if name in self.results]
        told = [one.to_json() for one in shown if not one.name.startswith(REGISTER) or one.outcome in BAD]
        models = [self.models[name] for name in sorted(self.models)]
        return LifecycleResult(told, models, self.seal.commit(self.results) if self.finished else None)

    def stop(self) -> None:
        """End every command of this walk at once; none begins after it."""
        self.stopped = True
        self.pack.kill()

    def close(self) -> None:
        """Make the run commit, copying the metrics to where git can see them, and tell MLflow how it ended."""
        bad = any(one.outcome in BAD for one in self.results.values())
        status: Status = "KILLED" if not self.finished else "FAILED" if bad else "FINISHED"
        commit = self.seal.commit(self.results)
        self.tracked.close(status, [one for name, one in self.results.items() if not name.startswith(REGISTER)], commit)

    def _begin(self, name: str, key: str | None, reasons: list[str]) -> dict[str, str]:
        return {"STEMMA_PROGRESS": str(self.display.begins(name, reasons)), **self.tracked.begins(name, key)}

    def _register(self, name: str) -> StageResult:
        try:
            self.models[name] = self.tracked.register(name.removeprefix(REGISTER), self.results, self.seal.facts(self.results))
        except UserError as error:
            self.results[name] = StageResult(name, "failed", [f"{name}: {error}"])
            raise
        model = self.models[name]
        outcome: Outcome = "ran" if model["created"] else "unchanged"
        return self._note(StageResult(name, outcome, [f"version {model['version']}: {model['decision']}"]))

    def _note(self, result: StageResult) -> StageResult:
        with self._lock:
            self.results[result.name] = result
        if not self.stopped:
            self.display.ends(result)
        return result


@contextmanager
def opened(
    root: Path, display: Display, only: Sequence[str], force: Sequence[str], write: Callable[[], None] | None = None
) -> Iterator[Walk]:
    """The right to run the lifecycle of a project, and a walk over its graph.

    What an earlier lifecycle left behind is put in order, a rollback that was killed is completed, `write` changes params.yaml, what that
    no longer names is pruned, missing data comes from the cache.

    Raises:
        UserError: not a git or DVC repository, no such stage, or the data is not there.
    """
    workspace.check(root)
    os.chdir(root)  # DVC resolves some paths against it
    with workspace.lifecycle_lock(root, display.says):
        for ailment in quick.look(root):
            display.says(str(ailment))
        rollback.carry_on(root, display.says)
        if write:
            write()
        forgetting.keep_away(root, display.says)
        with graph.changing(root, display.says) as repo:
            for name in stages.prune(repo):
                display.says(f"{name}: pruned, params.yaml no longer names it")
            for path in graph.check_sources(repo, checkout=True):
                display.says(f"{Path(path).name}: checked out of the DVC cache")
            shapes = graph.shapes(repo)
            foreseen = _foreseen(repo, root)
        steps = Walk(root, display, shapes, foreseen, only, force)
        try:
            yield steps
        finally:
            steps.stop()
            steps.close()


def _foreseen(repo: "Repo", root: Path) -> dict[str, StageResult | State]:
    found = list(planning.foresee(repo, root))
    if any(decision.state == "stale" for _, decision in found):
        repo.index.check_graph()  # no two stages with one output, and the like; its graph library takes half a second to load
    return {stage.name: stages.unchanged(stage, decision) if decision.state == "fresh" else decision.state for stage, decision in found}
