"""Flow runs of this project at a Prefect server: whether a killed one may be left, which takes no Prefect to see, and how it ends."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

UNENDED = "SELECT name, parameters, deployment_id FROM flow_run WHERE state_type IN ('RUNNING', 'PENDING', 'CANCELLING')"


def reporting(root: Path) -> Path:
    """A file that is there while a lifecycle reports to a Prefect server, wherever that is, and after it was killed."""
    return root / ".stemma" / "reporting"


def may_be_left(root: Path) -> bool:
    """Whether a killed flow run may be left, known in no time; for the holder of the lifecycle lock."""
    return reporting(root).exists() or bool(_left_here(root))


def bury_the_dead(root: Path, deployments: bool = False) -> list[str]:
    """End the runs of this project that were killed, which would say Running for ever, and of their tasks; their names.

    Whoever holds the lifecycle lock knows that none of them runs. `deployments`: those of the schedule too; it must have no runner.
    """
    from prefect import get_client
    from prefect.client.schemas import filters
    from prefect.client.schemas.objects import StateType
    from prefect.states import Crashed, State

    unended = filters.FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING])
    unended_tasks = filters.TaskRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING])
    by_hand = None if deployments else filters.FlowRunFilterDeploymentId(is_null_=True)
    runs = filters.FlowRunFilter(state=filters.FlowRunFilterState(type=unended), deployment_id=by_hand)
    tasks = filters.TaskRunFilter(state=filters.TaskRunFilterState(type=unended_tasks))
    killed: State = Crashed(message="Its process was killed.")
    names = []
    with get_client(sync_client=True) as client:
        for found in client.read_flow_runs(flow_run_filter=runs):
            if _is_of(root, found.parameters.get("root")):
                its = filters.FlowRunFilter(id=filters.FlowRunFilterId(any_=[found.id]))
                for task_run in client.read_task_runs(flow_run_filter=its, task_run_filter=tasks):
                    client.set_task_run_state(task_run.id, killed, force=True)
                client.set_flow_run_state(found.id, killed, force=True)
                names.append(found.name)
    return names


def _left_here(root: Path) -> list[str]:
    """Those that the database of this machine has."""
    file = root / ".stemma" / "prefect" / "prefect.db"
    if not file.exists():
        return []
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=1)) as database:
            found = database.execute(UNENDED).fetchall()
    except sqlite3.Error:  # being made, or of another Prefect: a server will tell
        return []
    return [name for name, parameters, deployed in found if deployed is None and _is_of(root, json.loads(parameters).get("root"))]


def _is_of(root: Path, where: str | None) -> bool:
    """Whether a flow run's `root` is this project, or a checkout of it that is gone."""
    place = Path(where or ".")
    return place == root or (root / ".stemma" / "checkouts" in place.parents and not place.exists())
