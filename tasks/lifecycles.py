"""The run of a lifecycle in MLflow: the parent of its stages' runs, with every outcome and the way to the runs of earlier lifecycles."""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tasks import shown
from tasks.registry import records
from tasks.tracking import TrackingError, connect, experiment, explained, find, warn, workspace

if TYPE_CHECKING:
    from tasks.tracking import MlflowClient

RUN_COMMIT = "stemma.run_commit"  # the tag of every run and every model version


def open_lifecycle(root: Path, tags: dict[str, str]) -> str | None:
    """The id of a new parent run with `tags` (`data_version`, `git_commit`), or None and one warning where the server does not answer."""
    try:
        client = connect(root)
        with explained(root):
            where = experiment(client, root)
            bury_the_dead(root)
            name = f"lifecycle {datetime.now():%Y-%m-%d %H:%M:%S}"
            ours = {**tags, "workspace": workspace(root), "process": this_process()}
            return client.create_run(where, run_name=name, tags={f"stemma.{key}": value for key, value in ours.items()}).info.run_id
    except TrackingError as error:
        warn(error)
        return None


def close_lifecycle(
    root: Path,
    run_id: str | None,
    status: Literal["FINISHED", "FAILED", "KILLED"],
    stages: list[dict[str, Any]],
    run_commit: str,
    runs: Sequence[str] = (),
) -> None:
    """End the parent run with the outcome of each stage, and links to the runs that made the outputs, of this lifecycle or an earlier one.

    A stage is `{"name", "outcome", "seconds"}` and its `key`, by which the run is looked up; without it there is no link. The parent, its
    children and `runs` are given the run commit.

    Raises:
        TrackingError: the server does not answer.
    """
    client = connect(root)
    with explained(root):
        where = experiment(client, root)
        children = client.search_runs([where], f"tags.`mlflow.parentRunId` = '{run_id}'") if run_id else []
        for named in {*runs, *(child.info.run_id for child in children)}:
            client.set_tag(named, RUN_COMMIT, run_commit)
        if run_id is None:
            return
        client.set_tag(run_id, RUN_COMMIT, run_commit)
        links = {}
        for stage in stages:
            name = stage["name"].replace("@", ".")  # MLflow's tag names know no @
            client.set_tag(run_id, f"stemma.outcome.{name}", stage["outcome"])
            if found := find(client, root, stage["name"], stage.get("key", "")):
                client.set_tag(run_id, f"stemma.run.{name}", found)
                links[stage["name"]] = f"[{found[:8]}](#/experiments/{where}/runs/{found})"
        table = shown.table(stages, links)
        client.set_tag(run_id, "mlflow.note.content", table)  # the run's description: MLflow renders it, links and all
        client.log_text(run_id, table, "stages.md")
        _end(client, where, run_id, status)


def bury_the_dead(root: Path, orphans: bool = False) -> list[str]:
    """End the runs of lifecycles that were killed, and of their stages, which say RUNNING for ever; their names.

    A stage that starts again with the same key goes on in its run. `orphans`: those of stages without a lifecycle too; for whoever knows
    that no stage is at work.

    Raises:
        TrackingError: the server does not answer.
    """
    found = records.unended(root)
    alive = {run.id for run in found if "stemma.process" in run.tags and _lives(run.tags["stemma.process"])}
    dead = [run for run in found if run.id not in alive and _is_dead(run.tags, alive, orphans)]
    if dead:
        client = connect(root)
        with explained(root):
            for run in sorted(dead, key=lambda run: "stemma.process" in run.tags):  # the lifecycle last
                client.set_terminated(run.id, "KILLED")
    return [run.name for run in dead]


def _is_dead(tags: Mapping[str, str], alive: set[str], orphans: bool) -> bool:
    if "stemma.process" in tags:
        return True
    parent = tags.get("mlflow.parentRunId")
    return parent not in alive if parent else orphans


def this_process() -> str:
    """Who we are, for whoever asks later whether we live."""
    import psutil

    return f"{os.getpid()} {psutil.Process().create_time():.2f}"


def _end(client: "MlflowClient", where: str, run_id: str, status: str) -> None:
    """End a parent run, and the runs of stages that were killed with it."""
    for child in client.search_runs([where], f"attributes.status = 'RUNNING' and tags.`mlflow.parentRunId` = '{run_id}'"):
        client.set_terminated(child.info.run_id, "KILLED")
    client.set_terminated(run_id, status)


def _lives(process: str) -> bool:
    import psutil

    pid, _, started = process.partition(" ")
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" == started
    except psutil.NoSuchProcess:
        return False
