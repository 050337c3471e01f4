"""Two clones of the real stages with one DVC remote and one MLflow."""

from pathlib import Path

import pytest

from .conftest import STAGES, Project

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]


def test_a_colleagues_clone_restores_every_stage_and_finds_the_original_runs(
    project: Project, tmp_path: Path, server: dict[str, str]
) -> None:
    origin, store = str(tmp_path / "origin"), str(tmp_path / "store")
    project.call("git", "clone", "-q", "--bare", str(project.root), origin)
    project.call("git", "remote", "add", "origin", origin)
    project.dvc("remote", "add", "-q", "--local", "-d", "store", store)
    assert project.stemma("push").out.startswith("pushed 1 run commits, ")

    colleague = Project(tmp_path / "colleague")
    project.call("git", "clone", "-q", origin, str(colleague.root))
    colleague.dvc("remote", "add", "-q", "--local", "-d", "store", store)
    assert colleague.stemma("pull").out.startswith("pulled 1 run commits, ")
    before = project.num_rows("runs"), project.num_rows("model_versions")
    shared = {"MLFLOW_TRACKING_URI": f"sqlite:///{project.root}/.stemma/mlflow/mlflow.db"}
    ran = colleague.run(**server, **shared)
    assert ran.outcomes == dict.fromkeys(STAGES, "restored")
    assert colleague.bytes_of("build", "data", "metrics") == project.bytes_of("build", "data", "metrics")
    assert (project.num_rows("runs"), project.num_rows("model_versions")) == before
    assert [model["version"] for model in ran.document["models"]] == [1] * 5
    assert ran.document["run_commit"] == project.run(**server).document["run_commit"]
