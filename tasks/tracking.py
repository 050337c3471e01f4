"""The tracking server, and the runs of stages on it: a view of what is among the outputs, so `sync` can add what a dead server missed.

Runs go by explicit ids; MLflow's fluent interface, with an active run per thread, is never used.
"""

import hashlib
import json
import logging
import os
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from model.errors import UserError
from tasks import machine, shown

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

EXPERIMENT = "stemma"
ANSWER_SECONDS = 4  # how long a server may take to say that it is there
FLUSH_SECONDS = 5  # at most this much of a curve waits in memory


Unfinished = Literal["FAILED", "KILLED"]  # how a run ends whose stage did not


class TrackingError(UserError):
    """The tracking server cannot be used; the message says why."""


def uri(root: Path) -> str:
    """Where runs and models are kept: `MLFLOW_TRACKING_URI`, or a database in the state folder of this machine."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{_folder(root) / 'mlflow.db'}"


def is_new(root: Path) -> bool:
    """Whether nothing can be known yet: runs and models are kept on this machine, and there are none."""
    return (file := database(root)) is not None and not file.exists()


def run_url(root: Path, experiment: str, run_id: str, server: str | None = None) -> str:
    """The page of a run on the tracking server, or on `server`, which shows this machine's database (`stemma up` starts one)."""
    address = uri(root) if uri(root).startswith("http") else server or "http://127.0.0.1:5000"
    return f"{address.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}"


def _folder(root: Path) -> Path:
    return (root / ".stemma" / "mlflow").resolve()  # absolute: MLflow stores the place of every artifact


def database(root: Path) -> Path | None:
    """The file that runs and models are kept in, if they are kept in one."""
    return Path(uri(root).removeprefix("sqlite:///")) if uri(root).startswith("sqlite:///") else None


# --- reaching the server ------------------------------------------------------------------------------------------------------------------


def connect(root: Path) -> "MlflowClient":
    """A client of the server, which has just answered; this machine's database is created if there is none.

    Raises:
        TrackingError: it does not answer, or cannot be used.
    """
    _require_answer(root)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # with MLflow's own 7 a call to a dead server takes minutes
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with explained(root):
        from mlflow import MlflowClient

        if (file := database(root)) and not file.exists():
            create_database(file)
        return MlflowClient(tracking_uri=uri(root), registry_uri=uri(root))


def create_database(file: Path) -> None:
    """An empty MLflow database; its migrations take seconds and may be killed, so they run under another name."""
    from filelock import FileLock
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):
        if file.exists():
            return
        partial = file.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        with closing(sqlite3.connect(partial)) as made:
            made.execute("PRAGMA journal_mode=WAL")  # stays in the file: readers and the writer no longer block each other
        SqlAlchemyStore(f"sqlite:///{partial}", str(file.parent / "artifacts")).engine.dispose()
        partial.replace(file)


@contextmanager
def explained(root: Path, reason: str | None = None) -> Iterator[None]:
    """A failure of the server, the network or the database inside becomes a TrackingError of one line, with `reason` or MLflow's words."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # the import has set it to INFO

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise unusable(root, reason or str(error)) from error


def unusable(root: Path, reason: str) -> TrackingError:
    """The error that says why the server or the database cannot be used."""
    address = urlsplit(uri(root))
    place = address._replace(netloc=address.netloc.rpartition("@")[2]).geturl()  # no password
    return TrackingError(f"MLflow at {place}: {' '.join(reason.split())[:300]}; mend that, or set or unset MLFLOW_TRACKING_URI")


def _require_answer(root: Path) -> None:
    """Ask briefly first: MLflow itself waits minutes for a server, and two for a database file that cannot be opened."""
    address = urlsplit(uri(root))
    if (file := database(root)) and file.exists():
        with explained(root), closing(sqlite3.connect(file)) as opened:
            opened.execute("PRAGMA schema_version")
    elif address.scheme in ("http", "https"):
        with explained(root, "no server answers there (`stemma up` starts one)"):
            from mlflow.utils.credentials import get_default_host_creds
            from mlflow.utils.rest_utils import http_request

            http_request(get_default_host_creds(uri(root)), "/health", "GET", timeout=ANSWER_SECONDS, max_retries=0, raise_on_status=False)
    elif address.hostname and address.port:
        with explained(root, "no database answers there"):
            socket.create_connection((address.hostname, address.port), timeout=ANSWER_SECONDS).close()


def warn(error: TrackingError) -> None:
    """Tell once on stderr that runs or models cannot be recorded now."""
    sys.stderr.write(f"warning: {error}. Going on without it; what it misses is added later\n")


def experiment(client: "MlflowClient", root: Path) -> str:
    """The id of the project's experiment, created at first use, and taken out of the bin where somebody threw it away."""
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        local = None if uri(root).startswith("http") else (_folder(root) / "artifacts").as_uri()
        kind = {"mlflow.experimentKind": "custom_model_development"}  # the pages for training, not those for prompts
        return client.create_experiment(EXPERIMENT, artifact_location=local, tags=kind)
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return found.experiment_id


def workspace(root: Path) -> str:
    """A name for this machine's copy of the project, which tells nothing about either."""
    return hashlib.sha256(f"{socket.gethostname()}:{_folder(root)}".encode()).hexdigest()[:16]


# --- the run of a stage -------------------------------------------------------------------------------------------------------------------


@dataclass
class StageRun:
    """The child run of a stage while it runs: points go out in batches, and a server that dies is let alone."""

    root: Path
    client: "MlflowClient"
    run_id: str
    last: dict[str, int]  # the last step MLflow has, or will have, by name
    waiting: list["Metric"] = field(default_factory=list)
    flushed: float = field(default_factory=time.monotonic)
    dead: bool = False

    @classmethod
    def open(cls, root: Path, stage: str, key: str, parent_run_id: str | None, params: dict[str, Any]) -> "StageRun | None":
        """A new run, or the one in which an attempt with the same key stopped; None where the server does not answer."""
        try:
            client = connect(root)
            with explained(root):
                where = experiment(client, root)
                if run := _unfinished(client, root, where, stage, key):
                    client.update_run(run.info.run_id, status="RUNNING")
                    if parent_run_id:
                        client.set_tag(run.info.run_id, "mlflow.parentRunId", parent_run_id)
                else:
                    run = _create(client, root, where, stage, key, parent_run_id, params)
                client.set_tag(run.info.run_id, "stemma.machine", json.dumps(machine.facts(), sort_keys=True))
                logged = _logged(client, run.info.run_id, run.data.metrics)
                return cls(root, client, run.info.run_id, {name: max(steps) for name, steps in logged.items()})
        except TrackingError:  # `sync` says so
            return None

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """A point of each curve, unless an earlier attempt has logged it."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        for name, value in values.items():
            if step > self.last.get(name, -1):
                self.waiting.append(Metric(name, value, now, step))
                self.last[name] = step
        if time.monotonic() - self.flushed > FLUSH_SECONDS:
            self._send()

    def flush(self) -> None:
        """Send what still waits; `sync` completes the run, from the outputs."""
        self._send()

    def end(self, status: Unfinished) -> None:
        """Close the run of a stage that did not get to its end; the next attempt with the same key goes on in it."""
        self._send(lambda: self.client.set_terminated(self.run_id, status))

    def _send(self, then: Callable[[], None] = lambda: None) -> None:
        points, self.waiting, self.flushed = self.waiting, [], time.monotonic()
        if self.dead:
            return
        try:
            _require_answer(self.root)
            with explained(self.root):
                _log(self.client, self.run_id, points)
                then()
        except TrackingError:
            self.dead = True


def sync(root: Path, stage: str, key: str, parent_run_id: str | None, params: dict[str, Any], metrics_file: Path, out: Path) -> str | None:
    """The id of the finished run behind these outputs: found by the key, else completed or created from them. None without a server."""
    try:
        client = connect(root)
        with explained(root):
            where = experiment(client, root)
            if run := _finished(client, where, stage, key):
                return run.info.run_id
            run = _unfinished(client, root, where, stage, key) or _create(client, root, where, stage, key, parent_run_id, params)
            metrics = json.loads(metrics_file.read_text(encoding="utf-8")) if metrics_file.is_file() else {}
            _complete(client, run.info.run_id, metrics, out)
            return run.info.run_id
    except TrackingError as error:
        warn(error)
        return None


def find(client: "MlflowClient", root: Path, stage: str, key: str) -> str | None:
    """The id of the finished run of a stage with this key, or None."""
    run = _finished(client, experiment(client, root), stage, key)
    return run.info.run_id if run else None


def _finished(client: "MlflowClient", where: str, stage: str, key: str) -> "Run | None":
    return _latest(client, where, stage, key, "attributes.status = 'FINISHED'")


def _unfinished(client: "MlflowClient", root: Path, where: str, stage: str, key: str) -> "Run | None":
    """The run of an attempt that stopped, here: another clone on the same server may be running the same key just now."""
    return _latest(client, where, stage, key, f"attributes.status != 'FINISHED' and tags.`stemma.workspace` = '{workspace(root)}'")


def _latest(client: "MlflowClient", where: str, stage: str, key: str, status: str) -> "Run | None":
    known = f"{status} and tags.`stemma.stage` = '{stage}' and tags.`stemma.key` = '{key}'"
    return next(iter(client.search_runs([where], known, max_results=1, order_by=["attributes.start_time DESC"])), None)


def _create(
    client: "MlflowClient", root: Path, where: str, stage: str, key: str, parent_run_id: str | None, params: dict[str, Any]
) -> "Run":
    from mlflow.entities import Param

    tags = {"stemma.stage": stage, "stemma.key": key, "stemma.workspace": workspace(root)}
    if parent_run_id:
        tags["mlflow.parentRunId"] = parent_run_id
    run = client.create_run(where, run_name=stage, tags=tags)
    numbers = [Param(name, value) for name, value in shown.flat(params)]
    for start in range(0, len(numbers), 100):  # MLflow's limit for a batch
        client.log_batch(run.info.run_id, params=numbers[start : start + 100])
    return run


def _complete(client: "MlflowClient", run_id: str, metrics: Mapping[str, float], out: Path) -> None:
    """Every point of every curve once, and the files; FINISHED comes last, and so stands for all of it."""
    from mlflow.entities import Metric

    curves = shown.curves(out, metrics)
    logged = _logged(client, run_id, curves)
    now = int(time.time() * 1000)
    points = ((name, step, value) for name, curve in curves.items() for step, value in curve.items() if step not in logged[name])
    _log(client, run_id, [Metric(name, value, now, step) for name, step, value in points])
    for file in shown.files(out):
        client.log_artifact(run_id, str(file))
    if shown.is_base(out):
        client.log_artifacts(run_id, str(out), "checkpoint")
    client.set_terminated(run_id, "FINISHED")


def _logged(client: "MlflowClient", run_id: str, names: Iterable[str]) -> dict[str, set[int]]:
    """The steps that MLflow has of each curve."""
    return {name: {point.step for point in client.get_metric_history(run_id, name)} for name in names}


def _log(client: "MlflowClient", run_id: str, points: "Sequence[Metric]") -> None:
    for start in range(0, len(points), 1000):  # MLflow's limit for a batch
        client.log_batch(run_id, metrics=points[start : start + 1000])
