"""Runs that MLflow or Prefect would show as running for ever, because their processes were killed."""

from collections.abc import Iterator
from pathlib import Path

from flows.history import checkouts
from flows.repair.ailments import Ailment
from flows.services import flow_runs, prefect_server, recorded
from model.errors import UserError
from tasks import tracking


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
    if url is None and not flow_runs.may_be_left(root):
        return
    with prefect_server.reporting_to(root, url):
        for name in flow_runs.bury_the_dead(root, deployments=not (recorded.runner_is_running(root) or checkouts.in_use(root))):
            yield Ailment(f"Prefect run {name}", "said Running or Pending, and its process is gone", "is Crashed now")
