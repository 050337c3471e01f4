"""A killed flow run is seen without Prefect."""

import sqlite3
from pathlib import Path

from flows.services import flow_runs


def test_a_killed_flow_run_is_seen_in_prefects_database(tmp_path: Path) -> None:
    folder = tmp_path / ".stemma/prefect"
    folder.mkdir(parents=True)
    rows = [
        ("ours", "RUNNING", f'{{"root": "{tmp_path}"}}', None),
        ("done", "COMPLETED", f'{{"root": "{tmp_path}"}}', None),
        ("of a schedule", "RUNNING", f'{{"root": "{tmp_path}"}}', "d"),
        ("of a checkout that is gone", "PENDING", f'{{"root": "{tmp_path}/.stemma/checkouts/a"}}', None),
        ("of another project", "RUNNING", '{"root": "/elsewhere"}', None),
    ]
    with sqlite3.connect(folder / "prefect.db") as database:
        database.execute("CREATE TABLE flow_run (name, state_type, parameters, deployment_id)")
        database.executemany("INSERT INTO flow_run VALUES (?, ?, ?, ?)", rows)
    assert flow_runs._left_here(tmp_path) == ["ours", "of a checkout that is gone"]


def test_a_database_that_prefect_is_just_making_is_left_to_it(tmp_path: Path) -> None:
    (tmp_path / ".stemma/prefect").mkdir(parents=True)
    (tmp_path / ".stemma/prefect/prefect.db").touch()
    assert not flow_runs.may_be_left(tmp_path)
