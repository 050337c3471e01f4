"""Back to the first models and forth again, on the real stages, with the real registry."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.predict import predict

from .conftest import STAGES, Project, copied

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

TEXTS = ["It was a wonderful evening.", "The boat was worthless."]


def aliases(project: Project) -> dict[str, list[str]]:
    listed = json.loads(project.stemma("models", "--json").out)
    return {f"{model['name']}/{model['version']}": model["aliases"] for model in listed}


def answers(project: Project) -> list[Any]:
    """What `stemma predict` says, in this process, which has loaded the libraries already."""
    return predict(project.root, "sentiment", TEXTS)


def data_version(project: Project) -> str:
    return project.call("git", "show", "HEAD:data.dvc").split("md5: ")[1].split()[0]


def rollback(project: Project, ref: str) -> dict[str, Any]:
    ran = project.stemma("rollback", ref, "--yes", "--json")
    assert ran.code == 0, ran
    return ran.document


def test_back_to_the_first_models_and_forth_again(finished: Project, second_run: tuple[Project, float], tmp_path: Path) -> None:
    first = data_version(finished), aliases(finished), answers(finished), finished.bytes_of("data", "build", "metrics")
    project = copied(second_run[0], tmp_path / "project")
    project.call("git", "commit", "-qam", "the second run")
    project.stemma("rollback", "sentiment/2", "--model-only", "--yes")  # whatever the gate has said
    second = data_version(project), aliases(project), answers(project), project.bytes_of("data", "build", "metrics")
    assert (second[1]["sentiment/1"], second[1]["sentiment/2"]) == ([], ["champion"])
    assert second[2] != first[2]
    known = project.num_rows("runs"), project.num_rows("model_versions")

    assert project.stemma("rollback", first[0]).err.endswith("rollback: nobody to ask whether this is to be done; --yes does it\n")
    assert data_version(project) == second[0]
    back = rollback(project, first[0][:10])
    assert ("sentiment", "champion", 2, 1) in {tuple(move.values()) for move in back["moves"]}
    assert project.bytes_of("data", "build", "metrics") == first[3]
    assert project.plan().outcomes == dict.fromkeys(STAGES, "fresh")
    assert aliases(project) == {**first[1], "sentiment/2": []}
    assert (data_version(project), answers(project)) == (first[0], first[2])

    rollback(project, "sentiment/2")
    assert project.bytes_of("data", "build", "metrics") == second[3]
    assert project.plan().outcomes == dict.fromkeys(STAGES, "fresh")
    assert data_version(project) == second[0]
    assert (project.num_rows("runs"), project.num_rows("model_versions")) == known  # nothing was executed

    rollback(project, first[0])
    assert project.stemma("rollback", "models:/sentiment/2", "--model-only", "--yes").code == 0
    assert (data_version(project), aliases(project), answers(project)) == (first[0], second[1], second[2])
    history = json.loads(project.stemma("models", "--history", "sentiment", "--json").out)
    assert history[-1] | {"time": ""} == {
        "time": "",
        "who": "tester@example.org <tester@example.org>",
        "alias": "champion",
        "before": 1,
        "after": 2,
        "why": "rollback to model sentiment/2",
    }
