"""What a lifecycle of the real stages does the first time, and what it leaves alone or does again after a change."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import APPLICATIONS, STAGES, Project, Ran, copied

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

SENTIMENT = ("finetune@sentiment", "evaluate@sentiment")
DEAD = "http://127.0.0.1:9"  # nobody listens there


@pytest.fixture(scope="module")
def changed(lifecycle: tuple[Project, Ran], server: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Ran]:
    """The project after a number of one fine-tuning was changed and run while MLflow did not answer; what the run said."""
    project = copied(lifecycle[0], tmp_path_factory.mktemp("changed") / "project")
    planned = project.plan("-S", "finetune.sentiment.label_smoothing=0.1")
    assert {name for name, state in planned.outcomes.items() if state != "fresh"} == set(SENTIMENT)
    assert planned.reasons("finetune@sentiment") == "finetune.sentiment.label_smoothing: 0.1 is new"
    return project, project.run("-S", "finetune.sentiment.label_smoothing=0.1", code=1, MLFLOW_TRACKING_URI=DEAD, **server)


@pytest.fixture
def changed_copy(changed: tuple[Project, Ran], tmp_path: Path) -> Project:
    return copied(changed[0], tmp_path / "changed")


def not_fresh(planned: Ran) -> set[str]:
    return {name for name, state in planned.outcomes.items() if state != "fresh"}


def unchanged_but(**outcomes: str) -> dict[str, str]:
    return dict.fromkeys(STAGES, "unchanged") | outcomes


def curves(project: Project, stage: str) -> dict[tuple[str, int], float]:
    """What MLflow has of the newest finished run of a stage."""
    query = """select m.key, m.step, m.value from metrics m join runs r using (run_uuid)
        where r.run_uuid = (select run_uuid from runs where name = ? and status = 'FINISHED' order by start_time desc limit 1)"""
    with sqlite3.connect(project.root / ".stemma/mlflow/mlflow.db") as database:
        return {(name, step): value for name, step, value in database.execute(query, (stage,))}


def test_the_first_run_makes_five_champions(lifecycle: tuple[Project, Ran]) -> None:
    _, first = lifecycle
    assert first.code == 0, first.err
    assert first.outcomes == dict.fromkeys(STAGES, "ran")
    assert all({"name", "outcome", "reasons", "seconds"} <= set(stage) for stage in first.document["stages"])
    models = {model["name"]: model for model in first.document["models"]}
    assert sorted(models) == APPLICATIONS
    assert all(model["version"] == 1 and model["aliases"] == ["champion"] and model["metrics"] for model in models.values())
    assert "Traceback" not in first.err


def test_the_second_run_executes_and_adds_nothing(finished: Project) -> None:
    before = finished.num_rows("runs"), finished.num_rows("model_versions")
    assert before[1] == len(APPLICATIONS)
    again = finished.run()
    assert again.outcomes == unchanged_but()
    assert [model["aliases"] for model in again.document["models"]] == [["champion"]] * len(APPLICATIONS)
    assert (finished.num_rows("runs"), finished.num_rows("model_versions")) == before


def test_dvc_agrees_that_there_is_nothing_to_do(finished: Project) -> None:
    assert "up to date" in finished.dvc("status")
    assert "Running stage" not in finished.dvc("repro")


def test_all_outputs_come_back_with_dvc_checkout(project: Project) -> None:
    shutil.rmtree(project.root / "build")
    project.dvc("checkout", "-q")
    assert "up to date" in project.dvc("status")
    assert project.run().outcomes == unchanged_but()


def test_models_lists_the_versions(finished: Project) -> None:
    listed = json.loads(finished.stemma("models", "--json").out)
    assert {model["name"]: (model["version"], model["aliases"]) for model in listed} == dict.fromkeys(APPLICATIONS, (1, ["champion"]))


def test_planning_loads_no_heavy_library(finished: Project) -> None:
    heavy = {"torch", "transformers", "mlflow", "prefect", "datasets", "sklearn", "matplotlib"}
    code = f"""import sys, stemma
sys.argv = ["stemma", "plan", "--json"]
try:
    stemma.main()
except SystemExit:
    sys.stderr.write(" ".join(sorted({heavy!r} & set(sys.modules))))"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=finished.root, capture_output=True, text=True, check=True)
    assert len(json.loads(ran.stdout)["stages"]) == len(STAGES)
    assert ran.stderr == ""


def test_a_comment_in_the_training_loop_runs_nothing_but_code(project: Project, server: dict[str, str]) -> None:
    training = project.root / "model/training.py"
    text = training.read_text(encoding="utf-8")
    remarked = re.sub(r'"""(?=[A-Z])', '"""In other words: ', text).replace("\ndef train(", "\n# A remark.\n\n\ndef train(\n    ")
    assert remarked.count("In other words") > 5
    assert remarked.count("A remark.") == 1
    training.write_text(remarked, encoding="utf-8")
    assert not_fresh(project.plan()) == {"code"}
    ran = project.run(**server)
    assert ran.outcomes == unchanged_but(code="ran")
    assert [model["version"] for model in ran.document["models"]] == [1] * len(APPLICATIONS)
    training.write_text(text, encoding="utf-8")
    assert project.plan().outcomes == dict.fromkeys(STAGES, "fresh") | {"code": "restorable"}


def test_a_changed_function_makes_what_calls_it_stale_and_is_named(project: Project) -> None:
    training = project.root / "model/training.py"
    text = training.read_text(encoding="utf-8")
    training.write_text(text.replace("evaluate_every // 10", "evaluate_every // 9"), encoding="utf-8")
    assert training.read_text(encoding="utf-8") != text
    planned = project.plan()
    assert not_fresh(planned) == set(STAGES) - {"prepare", "tokenizer", "ngram", "baseline"}
    assert "model.training." in planned.reasons("pretrain@encoder")
    assert planned.reasons("pretrain@encoder").endswith(" changed")
    training.write_text(text, encoding="utf-8")
    assert not_fresh(project.plan()) == set()


@pytest.mark.parametrize(
    ("library", "stale"),
    [("mlflow", {"code"}), ("tokenizers", set(STAGES) - {"prepare", "baseline"})],
)
def test_another_version_of_a_library_makes_stale_what_computes_with_it(project: Project, library: str, stale: set[str]) -> None:
    environment = project.root / ".stemma/environment.json"
    found = json.loads(environment.read_text(encoding="utf-8"))
    was, found["distributions"][library] = found["distributions"][library], "0.0.1"
    environment.write_text(json.dumps(found), encoding="utf-8")
    look = """import json; from pathlib import Path; from flows import environment; environment.quiet(Path.cwd())
from flows.plan import plan; print(json.dumps({"stages": [stage.to_json() for stage in plan(Path.cwd())]}))"""
    planned = Ran(0, project.call(sys.executable, "-c", look), "")
    assert not_fresh(planned) == stale
    if len(stale) > 1:
        assert planned.reasons("tokenizer") == f"{library} {was} -> 0.0.1"
    assert not_fresh(project.plan()) == set()  # which looks at what is installed


def test_a_changed_number_runs_what_reads_it_and_what_follows(changed: tuple[Project, Ran]) -> None:
    ran = {name for name, outcome in changed[1].outcomes.items() if outcome == "ran"}
    assert ran == set(SENTIMENT)


def test_without_mlflow_only_registering_fails(changed: tuple[Project, Ran]) -> None:
    failed = {name for name, outcome in changed[1].outcomes.items() if outcome in ("failed", "skipped")}
    assert failed == {f"register@{name}" for name in APPLICATIONS}
    assert changed[1].document["models"] == []
    assert all(f"MLflow at {DEAD}" in changed[1].reasons(name) for name in failed)


def test_the_next_run_with_mlflow_only_registers_and_completes_the_curves(changed_copy: Project, server: dict[str, str]) -> None:
    ran = changed_copy.run(**server)
    assert ran.outcomes == unchanged_but()
    assert {model["name"]: model["version"] for model in ran.document["models"]} == dict.fromkeys(APPLICATIONS, 1) | {"sentiment": 2}
    lines = (changed_copy.root / "build/finetune/sentiment/history.jsonl").read_text(encoding="utf-8").splitlines()
    points = {(name, entry["step"]): value for entry in map(json.loads, lines) for name, value in entry.items() if name != "step"}
    assert points.items() <= curves(changed_copy, "finetune@sentiment").items()


def test_a_number_put_back_restores_the_first_model_without_training(
    changed_copy: Project, finished: Project, server: dict[str, str]
) -> None:
    ran = changed_copy.run("-S", "finetune.sentiment.label_smoothing=0.0", **server)
    assert ran.outcomes == unchanged_but(**dict.fromkeys(SENTIMENT, "restored"))
    assert {model["version"] for model in ran.document["models"]} == {1}
    assert changed_copy.bytes_of("build") == finished.bytes_of("build")
    assert (changed_copy.root / "params.yaml").read_bytes() == (finished.root / "params.yaml").read_bytes()
