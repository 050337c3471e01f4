"""The lifecycle of a commit, while the user has other things in mind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from flows import workspace
from flows.history import revision
from flows.history.git import git
from flows.walk import LifecycleResult
from model.errors import UserError


def test_a_rev_that_names_no_project_is_one_line(shipped: Path) -> None:
    with pytest.raises(UserError, match="nothing: no data version, run, model version, git revision or date"):
        revision.run(shipped, "nothing")
    with pytest.raises(UserError, match="no Stemma project in this commit"):
        revision.run(shipped, "HEAD^")


def test_what_was_forgotten_since_is_kept_away_from_an_older_commit(tmp_path: Path) -> None:
    now, then = tmp_path / "now", tmp_path / "then"
    for root, hashes in ((now, "ab"), (then, "ac")):
        root.mkdir()
        (root / "forgotten.txt").write_text("".join(f"{one * 64}\n" for one in hashes))
    revision._forget_too(now, then)
    assert (then / "forgotten.txt").read_text().split() == [one * 64 for one in "abc"]


@pytest.mark.e2e
@pytest.mark.usefixtures("homes")
def test_a_commit_runs_beside_another_run_and_leaves_the_work_tree_as_it_is(shipped: Path, walked: Callable[..., LifecycleResult]) -> None:
    (shipped / "params.yaml").write_text((shipped / "params.yaml").read_text().replace("seed: s", "seed: not committed"))
    (shipped / "flows/cli.py").write_text("raise SystemExit('not committed')")
    before = git(shipped, "status", "--porcelain")
    log = shipped.parent / "log"
    with workspace.lifecycle_lock(shipped):
        assert revision.run(shipped, "HEAD", ["--json", "--only", "seed"], log) == 0
    assert '"outcome": "ran"' in log.read_text()
    assert git(shipped, "status", "--porcelain") == before
    assert not (shipped / "build").exists()

    git(shipped, "checkout", "-q", ".")
    [seed] = walked(["seed"]).stages
    assert seed["outcome"] == "restored"


@pytest.mark.slow
def test_with_its_owner_killed_nothing_of_it_goes_on(shipped: Path) -> None:
    (shipped / "params.yaml").write_text((shipped / "params.yaml").read_text().replace("seconds: 0", "seconds: 300"))
    git(shipped, "-c", "user.name=tester", "-c", "user.email=tester@example.org", "commit", "-qam", "slow")
    owner = subprocess.Popen([sys.executable, "-m", "stemma", "run", "--rev", "HEAD"], cwd=shipped, start_new_session=True)
    deadline = time.monotonic() + 120
    while not (family := [one for one in psutil.Process(owner.pid).children(recursive=True) if one.name() == "sleep"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    family = psutil.Process(owner.pid).children(recursive=True)
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive
