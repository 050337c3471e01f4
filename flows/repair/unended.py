"""Runs that MLflow or Prefect would show as running for ever, because their processes were killed."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from flows.history import checkouts
from flows.repair.ailments import Ailment
from flows.services import prefect_server, recorded
from model.errors import UserError
from tasks import tracking

UNENDED = "SELECT name, parameters, deployment_id FROM flow_run WHERE state_type IN ('RUNNING', 'PENDING', 'CANCELLING')"


def mlflow_here(root: Path) -> Iterator[Ailment]:
    """Lifecycles and stages of this workspace that MLflow takes for running, where its database is a file here, read in no time."""
    if tracking.database(root) is not None:
        yield from mlflow(root)


def mlflow(root: Path) -> Iterator[Ailment]:
    """The same, wherever MLflow is."""
    from tasks import lifecycles

    try:
        for name in lifecycles.bury_the_dead(root, orphans=not checkouts.in_use(root)):
            yield Ailment(f"MLflow run {name}", "said RUNNING, and its process is gone", "is KILLED now")
    except tracking.TrackingError as error:
        yield Ailment("MLflow", str(error), todo="run `stemma doctor` again when it answers")


def prefect(root: Path) -> Iterator[Ailment]:
    """Flow runs of this project that Prefect takes for running or pending."""
    try:
        url = prefect_server.named(root)
    except UserError as error:
        yield Ailment("Prefect", str(error), todo="run `stemma doctor` again when it answers")
        return
    if url is None and not left_with_prefect(root):
        return
    from flows import running

    with running.reporting_to(root, url):
        from flows import lifecycle

        for name in lifecycle.bury_the_dead(root, deployments=not (recorded.runner_is_running(root) or checkouts.in_use(root))):
            yield Ailment(f"Prefect run {name}", "said Running or Pending, and its process is gone", "is Crashed now")


def reporting(root: Path) -> Path:
    """A file that is there while a lifecycle reports to a Prefect server, wherever that is, and after it was killed."""
    return root / ".stemma" / "reporting"


def left_with_prefect(root: Path) -> bool:
    """Whether such a flow run may be left, known in no time; for the holder of the lifecycle lock."""
    return reporting(root).exists() or bool(_left_here(root))


def _left_here(root: Path) -> list[str]:
    """Those that the database of this machine has."""
    file = root / ".stemma" / "prefect" / "prefect.db"
    if not file.exists():
        return []
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=1)) as database:
            found = database.execute(UNENDED).fetchall()
    except sqlite3.Error:  # being made, or of another Prefect: a server will tell
        return []
    return [name for name, parameters, deployed in found if deployed is None and is_of(root, json.loads(parameters).get("root"))]


def is_of(root: Path, where: str | None) -> bool:
    """Whether a flow run's `root` is this project, or a checkout of it that is gone."""
    place = Path(where or ".")
    return place == root or (root / ".stemma" / "checkouts" in place.parents and not place.exists())
