"""The flow: walk dvc.yaml's graph, each stage a task, then register. The only module that shows Prefect a stage."""

import json
import queue
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

from httpx import HTTPError
from prefect import Task, allow_failure, flow, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.events.clients import PrefectEventsClient
from prefect.events.worker import EventsWorker, emit_events_to_cloud
from prefect.futures import PrefectFuture
from prefect.logging.handlers import APILogWorker
from prefect.states import Cancelled, Completed, Failed, State
from prefect.task_runners import ThreadPoolTaskRunner

from flows import environment, stopping
from flows.history import revision
from flows.services import flow_runs
from flows.stages import StageResult
from flows.walk import REGISTER, Walk
from model.errors import UserError

THREADS = 64  # how many stages run at once is in params.yaml
FLUSH = 2  # seconds to send the server what it has not been told yet; it may end right after
RETRIES = 2  # of what talks to a service

_threads: Any = ThreadPoolTaskRunner(max_workers=THREADS)  # Any: Prefect's own annotations disagree
_current: ContextVar["tuple[Walk, _Server] | None"] = ContextVar("current", default=None)


@flow(name="lifecycle", task_runner=_threads, persist_result=False)
def lifecycle(root: str | None = None, only: list[str] | None = None, force: list[str] | None = None) -> State:
    """Bring every stage of dvc.yaml up to date and register the models; started by a schedule or a worker, what HEAD has of them.

    Args:
        root: the project; the one that this file belongs to if None.
        only: these stages and what they need; all stages if None.
        force: stages that run even if nothing they depend on has changed.
    """
    if current := _current.get():
        with stopping.promptly():
            return _drive(*current)
    project = Path(root) if root else Path(__file__).resolve().parents[1]
    environment.quiet(project)
    named = {"--only": only or [], "--force": force or []}
    return _at_head(project, [word for option, names in named.items() for name in names for word in (option, name)])


def _at_head(project: Path, arguments: list[str]) -> State:
    """A lifecycle of the commit of HEAD, by its own code in its own checkout: what is not committed is not taken into production."""
    log = project / ".stemma" / "logs" / "scheduled.log"
    try:
        code = revision.run(project, "HEAD", [*arguments, "--json"], log)
    except UserError as error:
        return Failed(message=str(error))
    said = _said(log.read_text(encoding="utf-8", errors="replace"))
    return Failed(message=said) if code else Completed(message=said)


def _said(log: str) -> str:
    """What a lifecycle with --json says of itself in one line: its document where it came to that, or else the last one."""
    try:
        stages = json.JSONDecoder().raw_decode(log, log.rfind("\n{\n") + 1)[0]["stages"]
    except ValueError:
        return next((line for line in reversed(log.splitlines()) if line.strip()), "it said nothing")
    return _summary([StageResult(stage["name"], stage["outcome"], stage["reasons"]) for stage in stages])


def drive(steps: Walk) -> None:
    """Run the flow over a walk that is open already; what is left when its server is gone is done without Prefect."""
    server = _Server(steps.display.says)
    token = _current.set((steps, server))
    if not emit_events_to_cloud():
        EventsWorker.set_client_override(PrefectEventsClient, reconnection_attempts=RETRIES)  # and not ten for each event in the end
    try:
        flow_runs.bury_the_dead(steps.root)
        flow_runs.reporting(steps.root).touch()
        state = lifecycle(str(steps.root), steps.only, sorted(steps.force), return_state=True)
        if not steps.finished:
            state.result()  # raises what went wrong
        flow_runs.reporting(steps.root).unlink()
    except (HTTPError, RuntimeError) as error:  # the latter where Prefect first asks the server for its version
        if not isinstance(error, HTTPError) and not isinstance(error.__cause__, HTTPError):
            raise
        server.lost(error)
        if steps.stopped:
            raise UserError("Prefect: its server went when a stage was to be submitted; `stemma run` goes on") from None
        steps.alone()
    finally:
        _current.reset(token)
        for worker in (EventsWorker, APILogWorker):
            worker.drain_all(timeout=FLUSH)


class _Server:
    """What is told of a walk, for as long as a server hears it; the walk goes on in any case."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._gone = say, False

    def told(self, note: Callable[[], object]) -> None:
        """Leave a note there; none after one that it did not take, for that takes its time."""
        if self._gone:
            return
        try:
            note()
        except HTTPError as error:
            self.lost(error)

    def lost(self, error: Exception) -> None:
        """It is gone, or will not listen; said once."""
        if not self._gone:
            self._say(f"Prefect: its server does not answer any more ({error}); the run goes on without it, and is not shown there")
        self._gone = True


def _drive(steps: Walk, server: _Server) -> State:
    """Submit each job when all it needs is done, and wait here for the next that ends; anything unforeseen ends every command at once."""
    futures: dict[str, PrefectFuture[State]] = {}
    ended: queue.SimpleQueue[str] = queue.SimpleQueue()
    try:
        while not steps.finished:
            for name in steps.take():
                needs = [allow_failure(futures[need]) for need in steps.needs[name]]
                futures[name] = _task(steps, server, name).submit(return_state=False, wait_for=needs)
                futures[name].add_done_callback(partial(_put, ended, name))
            name = ended.get()
            futures[name].wait()  # it has ended; without that its state would be asked of the server
            steps.settle(name, futures[name].state.message or "ended without a word")
    except BaseException:
        steps.stop()
        raise
    server.told(partial(create_markdown_artifact, _table(steps), key="lifecycle", description="What became of every stage"))
    results = list(steps.results.values())
    said = _summary(results)
    return Failed(message=said) if any(one.outcome == "failed" for one in results) else Completed(message=said)


def _put(ended: "queue.SimpleQueue[str]", name: str, _: PrefectFuture[State]) -> None:
    ended.put(name)


def _task(steps: Walk, server: _Server, name: str) -> Task[[], State]:
    """The job as a Prefect task of the same name. It returns its state, so a failed stage is no traceback."""
    retries = RETRIES if name.startswith(REGISTER) else 0

    @task(name=name, task_run_name=name, cache_policy=NO_CACHE, persist_result=False, retries=retries, retry_delay_seconds=2)
    def job() -> State:
        result = steps.do(name)
        if steps.stopped:
            return Cancelled(name="Stopped")
        if result.outcome in ("ran", "restored", "failed"):
            server.told(partial(_show, result, steps.urls.get(name)))
        return _state(result)

    return job


def _state(result: StageResult) -> State:
    """A skipped stage completes, by that name: Prefect lets no task follow a cancelled one, not even to be skipped too."""
    message = "\n".join([*result.reasons, *result.tail])
    if result.outcome == "failed":
        return Failed(message=message)
    return Completed(name=result.outcome.capitalize(), message=message or None)


def _show(result: StageResult, url: str | None) -> None:
    """Leave a note on the task's page: why, how long, from what and to what; and the way to its run in MLflow."""
    key = "".join(letter if letter.isalnum() else "-" for letter in result.name.lower())
    lines = [f"**{result.name}** {result.outcome} in {result.seconds:.1f} s", ""]
    lines += [f"- {reason}" for reason in result.reasons]
    lines += ["", f"key `{result.key}`", "", *(f"- `{path}` `{value}`" for path, value in result.outs.items())]
    if url:
        lines += ["", f"[its run in MLflow]({url})"]
        create_link_artifact(url, link_text=f"{result.name} in MLflow", key=f"{key}-mlflow")
    create_markdown_artifact("\n".join(lines), key=key)


def _table(steps: Walk) -> str:
    rows = ["| stage | outcome | why | seconds | run |", "|---|---|---|---|---|"]
    for name, one in steps.results.items():
        link = f"[MLflow]({steps.urls[name]})" if name in steps.urls else ""
        rows.append(f"| {name} | {one.outcome} | {'; '.join(one.reasons).replace('|', '/')} | {one.seconds:.1f} | {link} |")
    return "\n".join(rows)


def _summary(results: Sequence[StageResult]) -> str:
    """Why stages failed, or else how many came out how."""
    why = "; ".join(reason for one in results if one.outcome == "failed" for reason in one.reasons)
    outcomes = [one.outcome for one in results if not one.name.startswith(REGISTER)]
    return why or ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in dict.fromkeys(outcomes))
