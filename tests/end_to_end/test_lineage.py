"""The lineage of a version that a lifecycle of the real stages registered."""

import json
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from .conftest import APPLICATIONS, Project

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

HEAVY = {"torch", "transformers", "mlflow", "prefect", "datasets", "pandas", "dvc"}


def test_every_hash_between_a_version_and_its_data_is_there_and_the_same(finished: Project) -> None:
    ran = finished.stemma("lineage", "sentiment@champion", "--check", "--json")
    assert ran.code == 0, ran
    made = [link["stage"] for link in ran.document["links"]]
    assert [stage for stage in made if stage != "baseline"] == [
        *("evaluate@sentiment", "finetune@sentiment", "pretrain@encoder", "tokenizer", "prepare", "code")
    ]
    assert 0 < made.index("baseline") < made.index("prepare")
    assert ran.document["libraries"]["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert set(ran.document["sources"]) == {f"made-up-{name}" for name in APPLICATIONS}
    states = {one["what"]: one["state"] for one in ran.document["check"]}
    assert set(states.values()) == {"same"}
    assert {"registered model", "checkpoint as registered", "data version", f"code commit {ran.document['run_commit'][:10]}"} <= set(states)


def test_a_lineage_is_told_without_loading_a_heavy_library(finished: Project) -> None:
    code = f"""import sys, stemma
sys.argv = ["stemma", "lineage", "sentiment/1"]
try:
    stemma.main()
except SystemExit:
    sys.stderr.write(" ".join(sorted({HEAVY!r} & set(sys.modules))))"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=finished.root, capture_output=True, text=True, check=True)
    assert "made-up-sentiment" in ran.stdout
    assert ran.stderr == ""


def test_a_record_is_found_in_what_prepare_left(finished: Project) -> None:
    text = pq.read_table(finished.root / "build/prepare/sentiment/train.parquet")["text"][0].as_py()
    asked = json.loads(finished.stemma("lineage", "--from", text, "--json").out)
    seen = {saw["model"]: saw["how"] for saw in asked["models"]}
    assert seen["sentiment/1"] == ["had it to train on (build/prepare/sentiment/train: 1 row)"]
