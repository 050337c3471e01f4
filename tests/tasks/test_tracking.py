"""Runs in MLflow, whatever happens to the process or to the server."""

import json
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tasks import lifecycles, tracking

PARAMS = {"max_steps": 3, "training": {"seed": 1}}


def outputs(root: Path, num_steps: int = 6) -> Path:
    """A folder as a training stage leaves it."""
    out = root / "build/pretrain/decoder"
    out.mkdir(parents=True, exist_ok=True)
    (out / "history.jsonl").write_text("".join(json.dumps({"step": step, "loss": 1 / step}) + "\n" for step in range(1, num_steps + 1)))
    (out / "model.safetensors").write_bytes(b"weights")
    return out


def steps(root: Path, run_id: str, name: str = "loss") -> list[int]:
    return sorted(point.step for point in tracking.connect(root).get_metric_history(run_id, name))


def test_the_place_is_an_absolute_database_unless_the_environment_names_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert tracking.uri(Path()) == f"sqlite:///{tmp_path.resolve()}/.stemma/mlflow/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    assert tracking.uri(Path()) == "http://mlflow.example:5000"


@pytest.mark.e2e
def test_the_database_lets_readers_and_a_writer_work_at_once_and_is_made_once(empty_database: Path) -> None:
    with closing(sqlite3.connect(empty_database)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    before = empty_database.stat().st_mtime_ns
    tracking.create_database(empty_database)
    assert empty_database.stat().st_mtime_ns == before
    assert not empty_database.with_suffix(".partial").exists()


@pytest.mark.e2e
def test_a_stage_is_a_child_of_its_lifecycle_with_params_curves_metrics_and_artifacts(tracked: Path) -> None:
    parent = lifecycles.open_lifecycle(tracked, {"data_version": "d41d"})
    assert parent
    run = tracking.StageRun.open(tracked, "pretrain@decoder", "key1", parent, PARAMS)
    assert run
    for step in range(1, 7):
        run.log(step, {"loss": 1 / step})
    run.flush()
    metrics = tracked / "metrics.json"
    metrics.write_text('{"num_steps": 6.0, "loss": 0.1}')
    assert tracking.sync(tracked, "pretrain@decoder", "key1", parent, PARAMS, metrics, outputs(tracked)) == run.run_id
    lifecycles.close_lifecycle(
        tracked, parent, "FINISHED", [{"name": "pretrain@decoder", "key": "key1", "outcome": "ran", "seconds": 2.0}], "c0ffee"
    )

    client = tracking.connect(tracked)
    found = client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == found.data.tags["stemma.stage"] == "pretrain@decoder"
    assert found.data.tags["mlflow.parentRunId"] == parent
    assert found.data.params == {"max_steps": "3", "training.seed": "1"}
    assert found.data.metrics["num_steps"] == 6.0
    assert found.data.metrics["final.loss"] == 0.1
    assert steps(tracked, run.run_id) == [1, 2, 3, 4, 5, 6]
    assert {file.path for file in client.list_artifacts(run.run_id)} == {"history.jsonl", "checkpoint"}

    whole = client.get_run(parent)
    assert whole.info.status == "FINISHED"
    assert whole.data.tags["stemma.data_version"] == "d41d"
    assert whole.data.tags["stemma.run.pretrain.decoder"] == run.run_id
    assert f"runs/{run.run_id})" in whole.data.tags["mlflow.note.content"]
    assert [file.path for file in client.list_artifacts(parent)] == ["stages.md"]
    assert tracking.run_url(tracked, "1", run.run_id).endswith(f"/runs/{run.run_id}")


@pytest.mark.e2e
def test_sync_makes_a_missing_run_from_the_outputs_and_only_once(tracked: Path) -> None:
    metrics = tracked / "metrics.json"
    metrics.write_text('{"num_steps": 6}')
    out = outputs(tracked)
    made = tracking.sync(tracked, "pretrain@decoder", "key1", None, PARAMS, metrics, out)
    assert made
    assert tracking.sync(tracked, "pretrain@decoder", "key1", None, PARAMS, metrics, out) == made
    assert tracking.sync(tracked, "pretrain@decoder", "key2", None, PARAMS, metrics, out) != made
    assert steps(tracked, made) == [1, 2, 3, 4, 5, 6]
    assert tracking.connect(tracked).get_run(made).data.metrics["num_steps"] == 6


KILLED = """
import os, signal, sys
from pathlib import Path
from tasks import lifecycles, tracking
tracking.FLUSH_SECONDS = -1
root = Path(sys.argv[1])
parent = lifecycles.open_lifecycle(root, {})
run = tracking.StageRun.open(root, "pretrain@decoder", "key1", parent, {})
for step in range(1, 5):
    run.log(step, {"loss": 1 / step})
print(parent, run.run_id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.e2e
def test_a_killed_stage_goes_on_in_its_run_without_a_step_twice(tracked: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, tracked], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    dead, run_id = killed.stdout.split()

    parent = lifecycles.open_lifecycle(tracked, {})
    client = tracking.connect(tracked)
    assert client.get_run(dead).info.status == client.get_run(run_id).info.status == "KILLED"
    run = tracking.StageRun.open(tracked, "pretrain@decoder", "key1", parent, {})
    assert run
    assert run.run_id == run_id
    for step in range(3, 7):  # from a checkpoint after step 2
        run.log(step, {"loss": 1 / step})
    run.flush()
    assert tracking.sync(tracked, "pretrain@decoder", "key1", parent, {}, tracked / "none.json", outputs(tracked)) == run_id
    assert steps(tracked, run_id) == [1, 2, 3, 4, 5, 6]
    assert client.get_run(run_id).data.tags["mlflow.parentRunId"] == parent


@pytest.mark.e2e
def test_a_server_that_is_not_there_costs_a_warning_and_a_moment(tracked: Path, free_port: int, monkeypatch, capfd) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port}")
    began = time.monotonic()
    assert lifecycles.open_lifecycle(tracked, {}) is None
    assert tracking.StageRun.open(tracked, "prepare", "key1", None, {}) is None
    assert tracking.sync(tracked, "prepare", "key1", None, {}, tracked / "none.json", tracked) is None
    assert time.monotonic() - began < 5
    warnings = capfd.readouterr().err.splitlines()
    assert len(warnings) == 2
    assert all(line.startswith("warning: MLflow at http://127.0.0.1:") and "is added later" in line for line in warnings)


@pytest.mark.e2e
def test_a_server_that_hangs_costs_seconds(tracked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        assert lifecycles.open_lifecycle(tracked, {}) is None
        assert time.monotonic() - began < 6


@pytest.mark.e2e
def test_a_damaged_database_is_named_in_one_line(tracked: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tracked / ".stemma/mlflow/mlflow.db").write_bytes(b"not a database at all" * 100)
    began = time.monotonic()
    assert lifecycles.open_lifecycle(tracked, {}) is None
    assert time.monotonic() - began < 5
    [warning] = capfd.readouterr().err.splitlines()
    assert "file is not a database" in warning


@pytest.mark.e2e
def test_a_server_that_dies_in_mid_training_is_told_everything_later(
    tracked: Path, free_port: int, mlflow_server, monkeypatch, capfd
) -> None:
    monkeypatch.setattr(tracking, "FLUSH_SECONDS", -1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port}")
    with mlflow_server(tracked, free_port):
        run = tracking.StageRun.open(tracked, "pretrain@decoder", "key1", None, PARAMS)
        assert run
        run.log(1, {"loss": 1.0})
    began = time.monotonic()
    for step in range(2, 7):
        run.log(step, {"loss": 1 / step})
    run.flush()
    assert tracking.sync(tracked, "pretrain@decoder", "key1", None, PARAMS, tracked / "none.json", outputs(tracked)) is None
    assert time.monotonic() - began < 6
    assert len([line for line in capfd.readouterr().err.splitlines() if line.startswith("warning")]) == 1

    with mlflow_server(tracked, free_port):
        assert steps(tracked, run.run_id) == [1]
        assert tracking.sync(tracked, "pretrain@decoder", "key1", None, PARAMS, tracked / "none.json", outputs(tracked)) == run.run_id
        assert steps(tracked, run.run_id) == [1, 2, 3, 4, 5, 6]
