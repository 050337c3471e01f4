"""What a stage appends to its file is in MLflow while it runs, and a run that did not get to its end says so."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import curves
from tasks import tracking

pytestmark = pytest.mark.e2e  # MLflow takes its time


@pytest.fixture
def opening(tracked: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tracking.StageRun | None]:
    monkeypatch.setattr(tracking, "FLUSH_SECONDS", -1)
    monkeypatch.setattr(curves, "LOOK", 0.05)
    return lambda: tracking.StageRun.open(tracked, "pretrain@decoder", "key1", None, {})


def seen(root: Path) -> tuple[str, dict[int, float]]:
    client = tracking.connect(root)
    runs = client.search_runs([tracking.experiment(client, root)])
    if not runs:
        return "", {}
    [run] = runs
    return run.info.status, {point.step: point.value for point in client.get_metric_history(run.info.run_id, "loss")}


def append(file: Path, text: str) -> None:
    with file.open("a", encoding="utf-8") as lines:
        lines.write(text)


def test_points_are_seen_while_the_stage_runs_whole_lines_only(tracked: Path, opening: Callable[[], tracking.StageRun | None]) -> None:
    file = tracked / "curves" / "stage.jsonl"
    follower = curves.Follower(file, opening)
    append(file, json.dumps({"step": 1, "loss": 2.0}) + "\n" + '{"step": 2, "lo')
    deadline = time.monotonic() + 60
    while seen(tracked)[1] != {1: 2.0}:
        assert time.monotonic() < deadline
    append(file, 'ss": 1.0}\n')
    follower.close("KILLED")
    assert seen(tracked) == ("KILLED", {1: 2.0, 2: 1.0})
    again = curves.Follower(file, opening)
    append(file, json.dumps({"step": 2, "loss": 7.0}) + "\n" + json.dumps({"step": 3, "loss": 0.5}) + "\n")
    again.close(None)
    assert seen(tracked) == ("RUNNING", {1: 2.0, 2: 1.0, 3: 0.5})


def test_without_a_server_nothing_is_lost_but_the_view(tmp_path: Path) -> None:
    follower = curves.Follower(tmp_path / "stage.jsonl", lambda: None)
    append(tmp_path / "stage.jsonl", "{}\n")
    follower.close("FAILED")
