"""A rollback that was killed is carried on, by whoever comes next, and ends as if it had not been."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ...conftest import drive, stemma
from .conftest import Two, back, git, killed, state

pytestmark = pytest.mark.e2e  # lifecycles of a real DVC and git repository


@pytest.mark.parametrize("call", ["verb.placement.place", "verb._write", "verb.commits.commit", "commits.git"])
def test_killed_anywhere_the_same_again_ends_as_if_undisturbed(project: Path, two: Two, call: str) -> None:
    head = git(project, "rev-parse", "HEAD")
    killed(project, two.first, call)
    back(project, two.first)
    assert state(project) == two.before
    assert git(project, "rev-list", "--count", f"{head}..HEAD") == "1"
    assert git(project, "status", "--porcelain") == ""
    assert not list((project / ".stemma").glob("rollback*"))


def test_the_next_run_completes_what_was_killed(project: Path, two: Two) -> None:
    killed(project, two.first, "verb._write")
    assert {stage["outcome"] for stage in drive(project).stages} == {"unchanged"}
    assert state(project) == two.before
    assert git(project, "log", "-1", "--format=%s").startswith("Go back to run")


def test_the_next_ingest_completes_what_was_killed(project: Path, two: Two) -> None:
    killed(project, two.first, "verb._write")
    ended = stemma(project, "ingest")
    assert "going on with the rollback to " in ended.stderr
    assert state(project) == two.before


@pytest.mark.slow
def test_a_number_given_to_the_next_run_is_not_taken_back_by_what_was_killed(project: Path, two: Two) -> None:
    killed(project, two.first, "verb._write")
    ended = stemma(project, "run", "-S", "parts.a.word=new")
    assert ended.returncode == 0, ended.stderr
    assert (project / "build/part/a").read_text().endswith("new\n")
    assert (project / "sources.yaml").read_text() == "first\n"


@pytest.mark.parametrize("seed", [0, 1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 20))])
def test_killed_at_any_moment_alone_or_with_its_children(project: Path, two: Two, seed: int) -> None:
    draw, head = random.Random(seed), git(project, "rev-parse", "HEAD")
    script = "from pathlib import Path; import flows.history.rollback as verb; print(1, flush=True); "
    script += f"verb.rollback(Path.cwd(), {two.first!r}, "
    script += "verb.EVERYTHING, lambda change: True, print)"
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parents[4])}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(
        command, cwd=project, env=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout
        process.stdout.readline()  # it is about to begin
        time.sleep(draw.uniform(0, 4))
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL) if draw.random() < 0.5 else process.kill()
    back(project, two.first)
    assert state(project) == two.before
    assert git(project, "rev-list", "--count", f"{head}..HEAD") == "1"
    assert git(project, "status", "--porcelain") == ""
    assert not list((project / ".stemma").glob("rollback*"))


def test_a_rollback_that_was_killed_is_given_up_where_others_have_committed_since(project: Path, two: Two) -> None:
    change = {
        "title": "x",
        "commit": two.first,
        "files": {"params.yaml": None},
        "changed": [],
        "outs": {},
        "other": [],
        "gone": [],
        "moves": [],
        "forgotten": 0,
        "rebuilds": [],
    }
    (project / ".stemma/rollback.json").write_text(json.dumps({"change": change, "head": "0" * 40}))
    back(project, "HEAD")
    assert not (project / ".stemma/rollback.json").exists()
