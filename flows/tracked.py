"""What a lifecycle tells MLflow of itself and its stages, and the registry of its models."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from flows import graph, workspace
from flows.curves import Follower
from flows.data import versions
from flows.graph import Shape
from flows.proof import ancestry
from flows.services import recorded
from flows.stages import StageResult
from tasks import lifecycles, params, tracking
from tasks.registry import records
from tasks.registry.identity import hash_of

Status = Literal["FINISHED", "FAILED", "KILLED"]


class Tracked:
    """One lifecycle in MLflow. Its parent run is opened at the first need, so a lifecycle that finds nothing to do leaves no trace."""

    def __init__(self, root: Path, shapes: Mapping[str, Shape]) -> None:
        self.root, self.shapes = root, shapes
        self._parent: str | None = None
        self._asked = False
        self._runs: dict[str, str] = {}  # by stage
        self._followers: dict[str, Follower] = {}  # of stages that run
        self._lock = threading.Lock()

    def parent(self) -> str | None:
        """The id of the parent run; None where the server does not answer."""
        with self._lock:
            if not self._asked:
                self._parent = lifecycles.open_lifecycle(self.root, self.origin())
                self._asked = True
            return self._parent

    def origin(self) -> dict[str, str]:
        """What this lifecycle works from, as far as it is known from its start."""
        used = versions.in_use(self.root)
        return {"data_version": used.hash if used else "none", "git_commit": workspace.head_commit(self.root) or "none"}

    def begins(self, name: str, key: str | None) -> dict[str, str]:
        """A stage is about to run: what its command needs to report about itself. It is taken for not synchronized."""
        if not self.shapes[name].tracked or key is None:
            return {}
        self._mark(name)
        file = self.root / ".stemma" / "curves" / f"{name}.jsonl"
        self._followers[name] = Follower(file, lambda: tracking.StageRun.open(self.root, name, key, self.parent(), self.section(name)))
        return {"STEMMA_KEY": key, "STEMMA_CURVE": str(file)}

    def ends(self, name: str, status: tracking.Unfinished | None) -> None:
        """A stage has ended, or was never begun; `status` is of one that did not get to its end."""
        if follower := self._followers.pop(name, None):
            follower.close(status)

    def sync(self, result: StageResult) -> str | None:
        """See that MLflow knows the run behind a stage's outputs, as far as this is not known already; the page of that run.

        A server that does not answer is asked again in the next lifecycle.
        """
        shape, mark = self.shapes[result.name], self._marker(result.name)
        if not shape.tracked or result.key is None or (result.outcome == "unchanged" and not mark.exists()):
            return None
        self._mark(result.name)
        parent = self.parent() if result.outcome == "ran" else self._parent
        metrics = self.root / (shape.metrics or shape.out)
        about = (self.root, result.name, result.key)
        try:
            run = records.finished_run(*about)
            if run is None and tracking.sync(*about, parent, self.section(result.name), metrics, self.root / shape.out):
                run = records.finished_run(*about)
        except tracking.TrackingError as error:
            tracking.warn(error)
            return None
        if run is None:
            return None
        self._runs[result.name] = run.id  # it stays marked until it names its run commit
        return tracking.run_url(self.root, run.experiment, run.id, recorded.mlflow_url(self.root))

    def section(self, name: str) -> dict[str, Any]:
        """The parameters that a stage read."""
        if not self.shapes[name].params:
            return {}
        return params.section(params.read(self.root / "params.yaml"), name.replace("@", ".", 1))

    def applications(self) -> list[str]:
        """What there is to register: the applications that are both fine-tuned and evaluated."""
        names = [name.removeprefix("evaluate@") for name in self.shapes if name.startswith("evaluate@")]
        return [name for name in names if f"finetune@{name}" in self.shapes]

    def register(self, application: str, results: Mapping[str, StageResult], commit: dict[str, str]) -> dict[str, Any]:
        """Register an application's checkpoint unless it is; its version, with what the evaluation says of it. `commit`: `Seal.facts`.

        Raises:
            TrackingError: the registry does not answer.
        """
        if known := self._registered(application):
            return known
        from tasks import register

        stages = sorted(graph.upstream(self.shapes, [f"evaluate@{application}"]))
        lineage = self.origin() | commit | ancestry.facts(self.root, stages)
        for name in stages:
            lineage |= {f"key.{name}": results[name].key or "none", f"hash.{name}": results[name].outs[self.shapes[name].out]}
            if self.shapes[name].params:
                lineage[f"params.{name}"] = json.dumps(self.section(name), sort_keys=True)
        done = register.register(self.root, application, self._checkpoint(application), self._evaluation(application), lineage)
        if done.created:
            self.parent()
        return self._model(done.name, done.version, done.aliases, done.metrics, done.created, done.decision)

    def _registered(self, application: str) -> dict[str, Any] | None:
        """The version that holds the present checkpoint of an application, if it is registered."""
        identity = hash_of(self._checkpoint(application))
        for version in records.versions(self.root):
            tags = version.tags
            if (version.name, tags["stemma.checkpoint"]) == (application, identity) and "stemma.registered" in tags:
                return self._model(application, version.version, version.aliases, version.metrics, False, tags["stemma.decision"])
        return None

    def _model(
        self, name: str, version: int, aliases: tuple[str, ...], metrics: dict[str, float], created: bool, decision: str
    ) -> dict[str, Any]:
        from tasks.registry import gate

        judged = json.loads((self._evaluation(name) / "evaluation.json").read_text(encoding="utf-8"))
        return {
            "name": name,
            "version": version,
            "aliases": list(aliases),
            "metrics": metrics,
            "created": created,
            "decision": decision,
            "verdict": gate.verdict(judged),
        }

    def _checkpoint(self, application: str) -> Path:
        return self.root / self.shapes[f"finetune@{application}"].out

    def _evaluation(self, application: str) -> Path:
        return self.root / self.shapes[f"evaluate@{application}"].out

    def close(self, status: Status, results: list[StageResult], run_commit: str) -> None:
        """End the parent run, if there is one; it and all runs that no earlier lifecycle has named a commit to get `run_commit`."""
        for name in list(self._followers):
            self.ends(name, "KILLED")
        try:
            unnamed = [run for run in self._runs.values() if lifecycles.RUN_COMMIT not in (records.run_tags(self.root, run) or {})]
            if self._parent or unnamed:
                found = [{"name": one.name, "outcome": one.outcome, "seconds": one.seconds, "key": one.key or ""} for one in results]
                lifecycles.close_lifecycle(self.root, self._parent, status, found, run_commit, unnamed)
            for name in self._runs:
                self._marker(name).unlink(missing_ok=True)
        except tracking.TrackingError as error:
            tracking.warn(error)

    def _marker(self, name: str) -> Path:
        return self.root / ".stemma" / "unsynchronized" / name

    def _mark(self, name: str) -> None:
        self._marker(name).parent.mkdir(parents=True, exist_ok=True)
        self._marker(name).touch()
