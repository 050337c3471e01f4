"""`python -m flows.services.deployment NAME READY`: the schedule's runner, which starts each due lifecycle in a process of its own.

NAME is that of its deployment; the server is that of PREFECT_API_URL, the project the current folder. READY is written when it listens.
"""

import asyncio
import os
import sys
from datetime import UTC
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
from prefect.types import DateTime

from flows.history import checkouts
from flows.lifecycle import lifecycle
from flows.services import prefect_server, timetable
from flows.services.timetable import Timetable

ONE_AT_A_TIME = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)


async def deployment(root: Path, name: str, content: Timetable | None) -> RunnerDeployment:
    """The lifecycle of the project at `root`, with its timetable."""
    return await lifecycle.ato_deployment(
        name=name,
        schedules=[timetable.as_prefect(content)] if content else [],
        concurrency_limit=ONE_AT_A_TIME,
        parameters={"root": str(root.resolve())},
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


async def deploy(root: Path, name: str, content: Timetable | None) -> UUID:
    """Create the deployment on the server, or give it this timetable."""
    return await (await deployment(root, name, content)).aapply()


async def serve(root: Path, name: str, ready: Path) -> None:
    """Once there is a server, start what is due, one at a time, until SIGTERM."""
    while not prefect_server.answers(os.environ["PREFECT_API_URL"]):
        await asyncio.sleep(0.2)
    runner = Runner(name=name, limit=1, pause_on_shutdown=False)
    identity = await runner.aadd_deployment(await deployment(root, name, timetable.read(root)))
    async with get_client() as client:
        await reconcile(client, root, identity)
    ready.write_text(str(os.getpid()), encoding="utf-8")
    await runner.start()


async def reconcile(client: PrefectClient, root: Path, identity: UUID) -> None:
    """Set right what a stopped runner has left behind: runs that no longer run, and all missed ones but the latest."""
    if not checkouts.in_use(root):
        running = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
        for run in await _runs(client, identity, FlowRunFilterState(type=FlowRunFilterStateType(any_=running))):
            await client.set_flow_run_state(run.id, Crashed(message="Its process has gone."), force=True)
    for run in (await _runs(client, identity, FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))))[1:]:
        await client.set_flow_run_state(run.id, Cancelled(name="Missed", message="Nothing ran at its time; a later run does."), force=True)


async def _runs(client: PrefectClient, identity: UUID, state: FlowRunFilterState) -> list[FlowRun]:
    """Runs of a deployment in a state that were due by now, the latest first."""
    due = FlowRunFilter(state=state, expected_start_time=FlowRunFilterExpectedStartTime(before_=DateTime.now(UTC)))
    ours = DeploymentFilter(id=DeploymentFilterId(any_=[identity]))
    found: list[FlowRun] = []
    while page := await client.read_flow_runs(
        flow_run_filter=due, deployment_filter=ours, sort=FlowRunSort.EXPECTED_START_TIME_DESC, offset=len(found), limit=200
    ):
        found += page
    return found


if __name__ == "__main__":
    asyncio.run(serve(Path.cwd(), sys.argv[1], Path(sys.argv[2])))
