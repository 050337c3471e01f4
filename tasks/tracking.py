"""Stage and lifecycle runs in MLflow: the view. The record is `history.jsonl` and the metrics among the outputs, so whatever a dead server missed,
`sync` adds later. Runs are named by explicit ids; MLflow's fluent interface and its thread-local active run are never used.
"""

import json
import os
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from model.errors import UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

EXPERIMENT = "stemma"
ANSWER_SECONDS = 4  # how long a server may take to say that it is there
FLUSH_SECONDS = 5  # at most this much of a curve waits in memory
SHOWN = {".json", ".jsonl", ".png", ".md", ".html"}  # outputs that a person looks at; Parquet and weights stay with DVC

Curves = dict[str, dict[int, float]]  # name -> step -> value


class TrackingError(UserError):
    """The tracking server cannot be used; the message says why."""


def uri(root: Path) -> str:
    """Where runs and models are kept: `MLFLOW_TRACKING_URI`, or a database in the state folder of this machine."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{_folder(root) / 'mlflow.db'}"


def _folder(root: Path) -> Path:
    return (root / ".stemma" / "mlflow").resolve()  # absolute: MLflow stores the place of every artifact


# --- reaching the server ------------------------------------------------------------------------------------------------------------------


def connect(root: Path) -> "MlflowClient":
    """A client of the tracking server, which has just answered; a local database is created first if there is none.

    Raises:
        TrackingError: it does not answer, or cannot be used.
    """
    place = uri(root)
    _require_answer(place)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # the default of 7 waits for minutes
    with _explained(place):
        from mlflow import MlflowClient

        if place.startswith("sqlite:///"):
            create_database(Path(place.removeprefix("sqlite:///")))
        return MlflowClient(tracking_uri=place, registry_uri=place)


def create_database(file: Path) -> None:
    """An empty MLflow database at `file`, unless there is one. Its migrations take seconds and may be killed, so they run under another name."""
    if file.exists():
        return
    from filelock import FileLock
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):
        if file.exists():
            return
        partial = file.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        SqlAlchemyStore(f"sqlite:///{partial}", str(file.parent / "artifacts")).engine.dispose()
        with closing(sqlite3.connect(partial)) as database:
            database.execute("PRAGMA journal_mode=WAL")  # stays in the file: readers and a writer no longer block each other
        partial.replace(file)


def _require_answer(place: str) -> None:
    parts = urlsplit(place)
    if parts.scheme in ("http", "https"):
        with _explained(place):
            from mlflow.utils.credentials import get_default_host_creds
            from mlflow.utils.rest_utils import http_request

            http_request(get_default_host_creds(place), "/health", "GET", timeout=ANSWER_SECONDS, max_retries=0, raise_on_status=False)
    elif parts.hostname and parts.port:
        with _explained(place):
            socket.create_connection((parts.hostname, parts.port), timeout=ANSWER_SECONDS).close()


@contextmanager
def _explained(place: str) -> Iterator[None]:
    """Any failure of the server, the network or the database as a TrackingError of one line."""
    import logging

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise TrackingError(f"MLflow at {place}: {reason}; start it (`stemma up`) or mend MLFLOW_TRACKING_URI") from error


def _warn(error: TrackingError) -> None:
    sys.stderr.write(f"warning: {error}. Going on without it; the curves are added later\n")


# --- the run of a lifecycle ---------------------------------------------------------------------------------------------------------------


def open_lifecycle(root: Path, tags: dict[str, str]) -> str | None:
    """The id of a new parent run, or None and one warning where the server does not answer."""
    try:
        client = connect(root)
        with _explained(uri(root)):
            _bury_the_dead(client)
            name = f"lifecycle {datetime.now():%Y-%m-%d %H:%M:%S}"
            run = client.create_run(_experiment(client, root), run_name=name, tags={**tags, **_process()})
            return run.info.run_id
    except TrackingError as error:
        _warn(error)
        return None


def close_lifecycle(root: Path, run_id: str, status: Literal["FINISHED", "FAILED", "KILLED"], stages: list[dict[str, Any]]) -> None:
    """End the parent run with the outcome of each stage, and a link to the run that made its outputs.

    A stage is `{"name", "outcome", "seconds"}` with its `key`; the run of an unchanged or restored stage is looked up by that key.
    """
    try:
        client = connect(root)
        with _explained(uri(root)):
            experiment = _experiment(client, root)
            lines = ["| stage | outcome | seconds | run |", "|---|---|---|---|"]
            for stage in stages:
                run = _finished(client, experiment, stage["name"], stage["key"]) if stage.get("key") else None
                client.set_tag(run_id, f"stemma.outcome.{_tagged(stage['name'])}", stage["outcome"])
                if run:
                    client.set_tag(run_id, f"stemma.run.{_tagged(stage['name'])}", run.info.run_id)
                link = f"[{run.info.run_id[:8]}](#/experiments/{experiment}/runs/{run.info.run_id})" if run else ""
                lines.append(f"| {stage['name']} | {stage['outcome']} | {stage.get('seconds') or 0:.1f} | {link} |")
            table = "\n".join(lines) + "\n"
            client.set_tag(run_id, "mlflow.note.content", table)  # MLflow shows it as the run's description, with links that work
            client.log_text(run_id, table, "stages.md")
            client.log_dict(run_id, {"stages": stages}, "stages.json")
            client.set_terminated(run_id, status)
    except TrackingError as error:
        _warn(error)


def run_url(root: Path, run_id: str) -> str:
    """The address of a run's page, on the server, or on the one that `stemma up` starts on this machine's database."""
    place = uri(root)
    client = connect(root)
    with _explained(place):
        experiment = client.get_run(run_id).info.experiment_id
    server = place.rstrip("/") if place.startswith("http") else "http://127.0.0.1:5000"
    return f"{server}/#/experiments/{experiment}/runs/{run_id}"


def _process() -> dict[str, str]:
    import psutil

    return {"stemma.host": socket.gethostname(), "stemma.process": f"{os.getpid()} {psutil.Process().create_time():.2f}"}


def _bury_the_dead(client: "MlflowClient") -> None:
    """Runs of lifecycles that were killed on this machine say RUNNING for ever: end them and their stages' runs.

    A stage that starts again with the same key still goes on in its run, whatever that run's status is.
    """
    import psutil

    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return
    here = f"attributes.status = 'RUNNING' and tags.`stemma.host` = '{socket.gethostname()}'"
    for run in client.search_runs([experiment.experiment_id], here):
        pid, _, started = run.data.tags["stemma.process"].partition(" ")
        if psutil.pid_exists(int(pid)) and f"{psutil.Process(int(pid)).create_time():.2f}" == started:
            continue
        of_it = f"attributes.status = 'RUNNING' and tags.`mlflow.parentRunId` = '{run.info.run_id}'"
        for child in client.search_runs([experiment.experiment_id], of_it):
            client.set_terminated(child.info.run_id, "KILLED")
        client.set_terminated(run.info.run_id, "KILLED")


def _experiment(client: "MlflowClient", root: Path) -> str:
    """The id of the project's experiment, created at first use, taken out of the bin where somebody threw it away."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        local = None if uri(root).startswith("http") else (_folder(root) / "artifacts").as_uri()
        return client.create_experiment(EXPERIMENT, artifact_location=local)
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return experiment.experiment_id


# --- the run of a stage -------------------------------------------------------------------------------------------------------------------


@dataclass
class StageRun:
    """The child run of a stage while it runs: points go out in batches, and a server that dies costs one warning."""

    root: Path
    client: "MlflowClient"
    run_id: str
    params: dict[str, Any]
    last: dict[str, int]  # the last step that MLflow has, by name
    waiting: list["Metric"] = field(default_factory=list)
    flushed: float = field(default_factory=time.monotonic)
    dead: bool = False

    @classmethod
    def open(cls, root: Path, stage: str, key: str, parent_run_id: str | None, params: dict[str, Any]) -> "StageRun | None":
        """A new run, or the one in which an interrupted attempt with the same key stopped; None and one warning without a server."""
        try:
            client = connect(root)
            with _explained(uri(root)):
                run = _unfinished(client, _experiment(client, root), stage, key)
                if run:
                    client.update_run(run.info.run_id, status="RUNNING")
                    if parent_run_id:
                        client.set_tag(run.info.run_id, "mlflow.parentRunId", parent_run_id)
                else:
                    run = _create(client, _experiment(client, root), stage, key, parent_run_id, params)
                logged = _curves(client, run.info.run_id, run.data.metrics)
                return cls(root, client, run.info.run_id, params, {name: max(points) for name, points in logged.items()})
        except TrackingError as error:
            _warn(error)
            return None

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """One point of each curve; a step that an earlier attempt has logged is left out."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        for name, value in values.items():
            if step > self.last.get(name, -1):
                self.waiting.append(Metric(name, value, now, step))
                self.last[name] = step
        if time.monotonic() - self.flushed > FLUSH_SECONDS:
            self._flush()

    def finish(self, metrics: Mapping[str, float], out: Path) -> None:
        """The final numbers and the outputs a person looks at; the run is then complete."""
        self._flush()
        if not self.dead:
            self._try(lambda: _complete(self.client, self.run_id, metrics, out))

    def fail(self) -> None:
        """Close the run of a stage that did not get to its end; the next attempt with the same key goes on in it."""
        self._flush()
        if not self.dead:
            self._try(lambda: self.client.set_terminated(self.run_id, "FAILED"))

    def _flush(self) -> None:
        points, self.waiting, self.flushed = self.waiting, [], time.monotonic()
        if points and not self.dead:
            self._try(lambda: _log_points(self.client, self.run_id, points))

    def _try(self, call: Any) -> None:
        try:
            _require_answer(uri(self.root))
            with _explained(uri(self.root)):
                call()
        except TrackingError as error:
            self.dead = True
            _warn(error)


def sync(root: Path, stage: str, key: str, parent_run_id: str | None, params: dict[str, Any], metrics_file: Path, out: Path) -> str | None:
    """The id of the finished run that made these outputs: found by the key, or completed or created from them. None without a server."""
    try:
        client = connect(root)
        with _explained(uri(root)):
            experiment = _experiment(client, root)
            if run := _finished(client, experiment, stage, key):
                return run.info.run_id
            run = _unfinished(client, experiment, stage, key) or _create(client, experiment, stage, key, parent_run_id, params)
            metrics = json.loads(metrics_file.read_text(encoding="utf-8")) if metrics_file.exists() else {}
            _complete(client, run.info.run_id, metrics, out)
            return run.info.run_id
    except TrackingError as error:
        _warn(error)
        return None


def find(root: Path, stage: str, key: str) -> str | None:
    """The id of the finished run with this key, or None.

    Raises:
        TrackingError: the server does not answer.
    """
    client = connect(root)
    with _explained(uri(root)):
        run = _finished(client, _experiment(client, root), stage, key)
        return run.info.run_id if run else None


def _finished(client: "MlflowClient", experiment: str, stage: str, key: str) -> "Run | None":
    return _latest(client, experiment, stage, key, "attributes.status = 'FINISHED'")


def _unfinished(client: "MlflowClient", experiment: str, stage: str, key: str) -> "Run | None":
    return _latest(client, experiment, stage, key, "attributes.status != 'FINISHED'")


def _latest(client: "MlflowClient", experiment: str, stage: str, key: str, status: str) -> "Run | None":
    known = f"{status} and tags.`stemma.stage` = '{stage}' and tags.`stemma.key` = '{key}'"
    return next(iter(client.search_runs([experiment], known, max_results=1, order_by=["attributes.start_time DESC"])), None)


def _create(client: "MlflowClient", experiment: str, stage: str, key: str, parent_run_id: str | None, params: dict[str, Any]) -> "Run":
    from mlflow.entities import Param

    parent = {"mlflow.parentRunId": parent_run_id} if parent_run_id else {}
    run = client.create_run(experiment, run_name=stage, tags={"stemma.stage": stage, "stemma.key": key, **parent})
    flat = [Param(name, str(value)) for name, value in _flat(params)]
    for start in range(0, len(flat), 100):  # MLflow's limit for one batch
        client.log_batch(run.info.run_id, params=flat[start : start + 100])
    return run


def _complete(client: "MlflowClient", run_id: str, metrics: Mapping[str, float], out: Path) -> None:
    """Every point of the outputs' history once, the final numbers, the artifacts; FINISHED comes last, so it means all of that."""
    from mlflow.entities import Metric

    history = _history(out / "history.jsonl")
    wanted: Curves = {**history, **{f"final.{name}" if name in history else name: {0: value} for name, value in metrics.items()}}
    there = _curves(client, run_id, wanted)
    now = int(time.time() * 1000)
    missing = [Metric(name, value, now, step) for name, curve in wanted.items() for step, value in curve.items() if step not in there[name]]
    _log_points(client, run_id, missing)
    if _is_base(out):
        client.log_artifacts(run_id, str(out), "checkpoint")
    for file in sorted(out.glob("*")) if out.is_dir() else []:
        if file.suffix in SHOWN:
            client.log_artifact(run_id, str(file))
    client.set_terminated(run_id, "FINISHED")


def _is_base(out: Path) -> bool:
    """Whether `out` is a checkpoint that no registered model holds: a fine-tuned one (application.json) is logged once, with its model."""
    return (out / "model.safetensors").exists() and not (out / "application.json").exists()


def _curves(client: "MlflowClient", run_id: str, names: Sequence[str] | Mapping[str, Any]) -> Curves:
    return {name: {point.step: point.value for point in client.get_metric_history(run_id, name)} for name in names}


def _history(file: Path) -> Curves:
    curves: Curves = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        point = json.loads(line)
        step = point.pop("step")
        for name, value in point.items():
            curves.setdefault(name, {})[step] = value
    return curves


def _log_points(client: "MlflowClient", run_id: str, points: "Sequence[Metric]") -> None:
    for start in range(0, len(points), 1000):  # MLflow's limit for one batch
        client.log_batch(run_id, metrics=points[start : start + 1000])


def _flat(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _tagged(stage: str) -> str:
    return stage.replace("@", ".")  # MLflow's tag names know no @
