"""Runs of killed processes end, those of living ones go on."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from flows.repair import quick, unended
from flows.repair.ailments import Ailment
from tasks import tracking

pytestmark = pytest.mark.e2e  # lifecycles of a real DVC and git repository

DEAD = "4000000 1.00"
ALIVE = f"{os.getpid()} {psutil.Process().create_time():.2f}"

Started = Callable[..., str]


@pytest.fixture
def started(project: Path, empty_database: Path) -> Started:
    """`started(name, process=..., parent=...)`: a run in MLflow that says RUNNING; its id."""
    (project / ".stemma/mlflow").mkdir(parents=True, exist_ok=True)
    shutil.copy(empty_database, project / ".stemma/mlflow/mlflow.db")
    client = tracking.connect(project)
    where = tracking.experiment(client, project)

    def start(name: str, process: str | None = None, parent: str | None = None) -> str:
        tags = {"stemma.workspace": tracking.workspace(project)}
        tags |= ({"stemma.process": process} if process else {}) | ({"mlflow.parentRunId": parent} if parent else {})
        return client.create_run(where, run_name=name, tags=tags).info.run_id

    return start


def test_a_killed_lifecycle_ends_with_its_stages_and_a_living_one_goes_on(project: Path, started: Started) -> None:
    started("a stage", parent=started("dead", DEAD))
    living = started("alive", ALIVE)
    child = started("its stage", parent=living)
    assert sorted(ailment.what for ailment in quick.look(project)) == ["MLflow run a stage", "MLflow run dead"]
    client = tracking.connect(project)
    assert {client.get_run(run).info.status for run in (living, child)} == {"RUNNING"}
    assert quick.look(project) == []


def test_a_stage_whose_lifecycle_has_ended_ends_too(project: Path, started: Started) -> None:
    parent = started("over", ALIVE)
    started("a stage", parent=parent)
    tracking.connect(project).set_terminated(parent, "FINISHED")
    assert list(unended.mlflow(project)) == [Ailment("MLflow run a stage", "said RUNNING, and its process is gone", "is KILLED now")]


def test_a_stage_without_a_lifecycle_ends_as_well(project: Path, started: Started) -> None:
    started("a stage")
    assert [ailment.what for ailment in unended.mlflow(project)] == ["MLflow run a stage"]


def test_a_prefect_server_that_does_not_answer_is_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    [ailment] = unended.prefect(project)
    assert "no Prefect server answers at http://127.0.0.1:9/api" in ailment.found
    assert ailment.todo == "run `stemma doctor` again when it answers"
