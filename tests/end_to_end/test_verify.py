"""A registered version is made again to the same bytes; whatever was tampered with is caught and named."""

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import APPLICATIONS, Project

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

LARGER = {"hidden_size": 128, "num_heads": 4, "intermediate_size": 256, "batch_size": 8}  # whose bits depend on the number of threads


def verified(project: Project, *arguments: str, code: int, **variables: str) -> list[dict[str, Any]]:
    ran = project.stemma("verify", "--json", *arguments, **variables)
    assert ran.code == code, ran
    assert not list((project.root / ".stemma/checkouts").glob("*"))
    return json.loads(ran.out)


def differing(verdict: dict[str, Any]) -> dict[str, str]:
    return {one["what"]: one["detail"] for one in verdict["stored"] if one["state"] == "differs"}


def overwrite(file: Path) -> None:
    """Other bytes under the same mode, by which DVC takes an object for good."""
    mode = file.stat().st_mode
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    file.chmod(mode)


def own_models(project: Project, original: Project) -> None:
    """MLflow stores whole paths: make those of a copied project its own."""
    change(
        project, "UPDATE model_versions SET source = replace(source, ?, ?), storage_location = replace(storage_location, ?, ?)", original
    )


def change(project: Project, query: str, original: Project) -> None:
    with sqlite3.connect(project.root / ".stemma/mlflow/mlflow.db") as database:
        database.execute(query, (str(original.root), str(project.root)) * 2)


def claim_other_numbers(project: Project, model: str, *assignments: str) -> None:
    """Commit other numbers and have a version say that this was its run commit."""
    write = "import sys; from pathlib import Path; from flows import settings; settings.write(Path(), sys.argv[1:])"
    project.call(sys.executable, "-c", write, *assignments)
    project.call("git", "commit", "-qam", "other numbers")
    made = project.call("git", "rev-parse", "HEAD").strip()
    name, _, version = model.partition("/")
    query = "UPDATE model_version_tags SET value = ? WHERE key = 'stemma.run_commit' AND name = ? AND version = ?"
    with sqlite3.connect(project.root / ".stemma/mlflow/mlflow.db") as database:
        database.execute(query, (made, name, version))


def rebuilt(verdict: dict[str, Any], stage: str) -> dict[str, Any]:
    return next(one for one in verdict["rebuilt"] if one["stage"] == stage)


@pytest.mark.slow
def test_all_five_versions_are_rebuilt_to_the_same_bytes_whatever_omp_num_threads_says(finished: Project) -> None:
    verdicts = verified(finished, *(f"models:/{name}/1" for name in APPLICATIONS), code=0, OMP_NUM_THREADS="3")
    assert [verdict["model"] for verdict in verdicts] == [f"{name}/1" for name in APPLICATIONS]
    for verdict in verdicts:
        assert {one["state"] for one in verdict["stored"]} == {"same"}
        assert {one["state"] for one in verdict["rebuilt"]} == {"same"}
        assert len(verdict["rebuilt"]) == 7


def test_tampered_bytes_are_named_without_rebuilding(project: Project, lifecycle: tuple[Project, Any]) -> None:
    own_models(project, lifecycle[0])
    for checkpoint in (project.root / ".stemma/mlflow/artifacts/models").glob("*/artifacts/artifacts/sentiment/model.safetensors"):
        overwrite(checkpoint)
    for file in project.cached("build/finetune/qa"):
        if file.stat().st_size == (project.root / "build/finetune/qa/model.safetensors").stat().st_size:
            overwrite(file)
    qa, sentiment, srl = verified(project, "--cached", "qa/1", "sentiment/1", "srl/1", code=1)
    assert set(differing(qa)) == {"checkpoint build/finetune/qa", "checkpoint as registered"}
    assert differing(qa)["checkpoint build/finetune/qa"] == "in the DVC cache model.safetensors has other bytes"
    assert set(differing(sentiment)) == {"registered model"}
    assert srl["same"]


def test_tampered_data_is_named_and_nothing_is_built_from_it(project: Project) -> None:
    size = (project.root / "data/sentiment/train.parquet").stat().st_size
    for file in project.cached("data", "data.dvc"):
        if file.stat().st_size == size:
            overwrite(file)
    [verdict] = verified(project, "sentiment/1", code=1)
    assert differing(verdict)["data version"] == "in the DVC cache sentiment/train.parquet has other bytes"
    assert {one["state"] for one in verdict["rebuilt"]} == {"not rebuilt"}


def test_another_seed_is_caught_and_named(project: Project) -> None:
    claim_other_numbers(project, "sentiment/1", "training.seed=2")
    [verdict] = verified(project, "sentiment/1", code=1)
    assert verdict["first_difference"] == "pretrain@encoder"
    assert "params.yaml: seed of pretrain@encoder was 1, is 2 in the run commit" in rebuilt(verdict, "pretrain@encoder")["why"]
    assert "seed of pretrain@encoder was 1, is 2" in str(differing(verdict))


@pytest.mark.slow
def test_another_number_of_threads_is_caught_and_named(project: Project, server: dict[str, str]) -> None:
    numbers = [word for name, value in LARGER.items() for word in ("-S", f"pretrain.encoder.{name}={value}")]
    project.run(*numbers, "--only", "evaluate@sentiment", **server)
    claim_other_numbers(project, "sentiment/2", "training.num_threads=2")
    [verdict] = verified(project, "sentiment/2", code=1)
    assert verdict["first_difference"] == "pretrain@encoder"
    assert rebuilt(verdict, "pretrain@encoder")["state"] == "differs"
    assert "params.yaml: num_threads of pretrain@encoder was 1, is 2 in the run commit" in rebuilt(verdict, "pretrain@encoder")["why"]
