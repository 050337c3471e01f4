"""The run of a lifecycle, above those of its stages."""

from pathlib import Path

import pytest

from tasks import lifecycles, tracking


@pytest.mark.e2e
def test_an_unchanged_stage_is_linked_to_the_run_that_made_its_outputs(tracked: Path) -> None:
    metrics = tracked / "metrics.json"
    metrics.write_text('{"num_steps": 6}')
    out = tracked / "build/pretrain/decoder"
    out.mkdir(parents=True)
    made = tracking.sync(tracked, "pretrain@decoder", "key1", None, {}, metrics, out)
    parent = lifecycles.open_lifecycle(tracked, {})
    assert made
    assert parent
    stages = [
        {"name": "pretrain@decoder", "key": "key1", "outcome": "unchanged", "seconds": 0.0},
        {"name": "finetune@qa", "outcome": "skipped", "seconds": None},
    ]
    lifecycles.close_lifecycle(tracked, parent, "FAILED", stages, "c0ffee")
    client = tracking.connect(tracked)
    tags = client.get_run(parent).data.tags
    assert tags["stemma.run_commit"] == "c0ffee"
    assert "stemma.run_commit" not in client.get_run(made).data.tags  # another lifecycle's
    assert tags["stemma.run.pretrain.decoder"] == made
    assert tags["stemma.outcome.finetune.qa"] == "skipped"
    assert "stemma.run.finetune.qa" not in tags


@pytest.mark.e2e
def test_a_lifecycle_that_ends_takes_the_runs_of_killed_stages_with_it(tracked: Path) -> None:
    parent = lifecycles.open_lifecycle(tracked, {})
    assert parent
    run = tracking.StageRun.open(tracked, "prepare", "key1", parent, {})
    assert run
    lifecycles.close_lifecycle(tracked, parent, "KILLED", [], "c0ffee")
    client = tracking.connect(tracked)
    assert client.get_run(run.run_id).data.tags["stemma.run_commit"] == "c0ffee"
    assert client.get_run(run.run_id).info.status == client.get_run(parent).info.status == "KILLED"


@pytest.mark.e2e
def test_the_run_of_a_lifecycle_that_is_alive_is_left_alone(tracked: Path) -> None:
    first, second = (lifecycles.open_lifecycle(tracked, {}) for _ in range(2))
    assert first
    assert second
    assert tracking.connect(tracked).get_run(first).info.status == "RUNNING"
