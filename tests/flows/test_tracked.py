from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.walk import LifecycleResult

pytestmark = pytest.mark.e2e  # MLflow takes its time

DVC_YAML = """
stages:
  quiet:
    cmd: mkdir -p build; echo quiet > build/quiet
    deps: [data]
    outs: [build/quiet]
  counted:
    cmd: mkdir -p build/counted; echo ${counted.seed} > build/counted/out; echo '{"lines":2}' > build/counted.json; true --metrics
    deps: [data]
    params: [counted]
    outs: [build/counted]
    metrics: [build/counted.json]
"""
Walked = Callable[..., LifecycleResult]


@pytest.fixture
def tracked(project: Path) -> Path:
    (project / "dvc.yaml").write_text(DVC_YAML)
    (project / "params.yaml").write_text("run:\n  parallel_stages: 2\ncounted:\n  seed: 1\n")
    return project


def runs(project: Path) -> list[Any]:
    from tasks import tracking

    client = tracking.connect(project)
    return client.search_runs([tracking.experiment(client, project)], order_by=["attributes.start_time ASC"])


def outcomes(result: LifecycleResult) -> dict[str, str]:
    return {stage["name"]: stage["outcome"] for stage in result.stages}


def test_a_lifecycle_has_a_parent_run_and_a_child_for_each_stage_with_numbers(tracked: Path, walked: Walked) -> None:
    commit = walked().run_commit
    parent, child = runs(tracked)
    assert parent.data.tags["stemma.run_commit"] == child.data.tags["stemma.run_commit"] == commit
    assert parent.info.status == child.info.status == "FINISHED"
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.tags["stemma.stage"] == "counted"
    assert child.data.metrics["lines"] == 2
    assert parent.data.tags["stemma.run.counted"] == child.info.run_id
    assert parent.data.tags["stemma.outcome.quiet"] == "ran"
    walked()
    assert len(runs(tracked)) == 2


def test_a_restored_stage_keeps_the_run_that_made_it(tracked: Path, walked: Walked) -> None:
    walked()
    text = (tracked / "params.yaml").read_text()
    (tracked / "params.yaml").write_text(text.replace("seed: 1", "seed: 2"))
    walked()
    before = [(run.info.run_id, run.data.tags["stemma.run_commit"]) for run in runs(tracked)]
    (tracked / "params.yaml").write_text(text)
    again = walked()
    assert outcomes(again) == {"quiet": "unchanged", "counted": "restored"}
    assert [(run.info.run_id, run.data.tags["stemma.run_commit"]) for run in runs(tracked)] == before
    assert again.run_commit not in dict(before).values()


def test_a_dead_server_costs_a_warning_and_the_next_lifecycle_tells_it(
    tracked: Path, walked: Walked, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        result = walked()
    assert (result.exit_code, outcomes(result)) == (0, {"quiet": "ran", "counted": "ran"})
    assert "warning: " in capfd.readouterr().err
    again = walked()
    assert outcomes(again) == {"quiet": "unchanged", "counted": "unchanged"}
    [child] = runs(tracked)
    assert child.data.metrics["lines"] == 2
    assert child.data.tags["stemma.run_commit"] == again.run_commit == result.run_commit
