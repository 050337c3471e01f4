"""`python -m flows.deployment READY`: the schedule's runner, a process that starts each due lifecycle in a process of its own.

Where the server is comes from PREFECT_API_URL, the project is the current folder; READY is written when it begins to listen.
"""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments.runner import EntrypointType, RunnerDeployment
from prefect.runner import Runner
from prefect.states import Cancelled, Crashed

from flows import schedule, workspace
from flows.lifecycle import lifecycle

ONE_AT_A_TIME = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)


def deployment(root: Path) -> RunnerDeployment:
    """The lifecycle of the project at `root`, with its schedule."""
    content = schedule.read(root)
    return lifecycle.to_deployment(
        name=schedule.deployment_name(root),
        schedules=[schedule.as_prefect(content)] if content else [],
        concurrency_limit=ONE_AT_A_TIME,
        parameters={"root": str(root.resolve())},
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def deploy(root: Path) -> UUID:
    """Create the deployment on the server, or give it the schedule that is in `.stemma/schedule.json` now."""
    return deployment(root).apply()


async def serve(root: Path, ready: Path) -> None:
    """Start what is due, one at a time, until SIGTERM."""
    runner = Runner(name=schedule.deployment_name(root), limit=1, pause_on_shutdown=False)
    identity = await runner.add_deployment(deployment(root))
    async with get_client() as client:
        await reconcile(client, root, identity)
    ready.write_text(str(os.getpid()), encoding="utf-8")
    await runner.start()


async def reconcile(client: PrefectClient, root: Path, identity: UUID) -> None:
    """Set right what a stopped runner has left behind: runs that no longer run, and all missed ones but the latest."""
    if not workspace.lifecycle_is_running(root):
        running = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
        for run in await _runs(client, identity, FlowRunFilterState(type=FlowRunFilterStateType(any_=running))):
            await client.set_flow_run_state(run.id, Crashed(message="Its process has gone."), force=True)
    for run in (await _runs(client, identity, FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))))[1:]:
        await client.set_flow_run_state(run.id, Cancelled(name="Missed", message="Nothing ran at its time; a later run does."), force=True)


async def _runs(client: PrefectClient, identity: UUID, state: FlowRunFilterState) -> list[FlowRun]:
    """Runs of a deployment in a state that were due by now, the latest first."""
    due = FlowRunFilter(state=state, expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC)))
    ours = DeploymentFilter(id=DeploymentFilterId(any_=[identity]))
    found: list[FlowRun] = []
    while page := await client.read_flow_runs(
        flow_run_filter=due, deployment_filter=ours, sort=FlowRunSort.EXPECTED_START_TIME_DESC, offset=len(found), limit=200
    ):
        found += page
    return found


if __name__ == "__main__":
    asyncio.run(serve(Path.cwd(), Path(sys.argv[1])))
