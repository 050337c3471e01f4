"""A killed flow run is seen without Prefect."""

import sqlite3
from pathlib import Path

import pytest

from flows.services import flow_runs


@pytest.mark.parametrize("name", ["project", "c# ä?"])
def test_a_killed_flow_run_is_seen_in_prefects_database(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    folder = root / ".stemma/prefect"
    folder.mkdir(parents=True)
    rows = [
        ("ours", "RUNNING", f'{{"root": "{root}"}}', None),
        ("done", "COMPLETED", f'{{"root": "{root}"}}', None),
        ("of a schedule", "RUNNING", f'{{"root": "{root}"}}', "d"),
        ("of a checkout that is gone", "PENDING", f'{{"root": "{root}/.stemma/checkouts/a"}}', None),
        ("of another project", "RUNNING", '{"root": "/elsewhere"}', None),
    ]
    with sqlite3.connect(folder / "prefect.db") as database:
        database.execute("CREATE TABLE flow_run (name, state_type, parameters, deployment_id)")
        database.executemany("INSERT INTO flow_run VALUES (?, ?, ?, ?)", rows)
    assert flow_runs._left_here(root) == ["ours", "of a checkout that is gone"]


def test_a_database_that_prefect_is_just_making_is_left_to_it(tmp_path: Path) -> None:
    (tmp_path / ".stemma/prefect").mkdir(parents=True)
    (tmp_path / ".stemma/prefect/prefect.db").touch()
    assert not flow_runs.may_be_left(tmp_path)
