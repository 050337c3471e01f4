"""Two clones, a git remote and a DVC remote."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import environment
from flows.history import needed, run_commits, team
from flows.history.git import git
from flows.walk import LifecycleResult
from model.errors import UserError

pytestmark = pytest.mark.e2e  # lifecycles of a real DVC and git repository

Walked = Callable[..., LifecycleResult]


def use_remotes(root: Path, place: Path) -> None:
    """`origin` and a DVC remote, the latter where no commit has it."""
    if not (place / "origin").exists():
        git(place, "init", "-q", "--bare", "origin")
        git(root, "remote", "add", "origin", str(place / "origin"))
        git(root, "push", "-q", "origin", "HEAD:refs/heads/main")
    command = [sys.executable, "-m", "dvc", "remote", "add", "-q", "--local", "-d", "store", str(place / "store")]
    subprocess.run(command, cwd=root, check=True)


@pytest.fixture
def clone(finished: Path, tmp_path: Path, walked: Walked) -> Path:
    """A fresh clone, after the first one has pushed a run; the process is in it."""
    use_remotes(finished, tmp_path)
    walked()
    team.push(finished)
    root = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "-b", "main", "origin", "clone")
    use_remotes(root, tmp_path)
    environment.quiet(root)
    os.chdir(root)
    return root


def test_a_fresh_clone_restores_every_stage_metrics_too(finished: Path, clone: Path, walked: Walked) -> None:
    moved = team.pull(clone)
    assert (moved.run_commits, moved.missing) == (1, 0)
    assert moved.objects
    assert moved.records == 5
    assert {stage["outcome"] for stage in walked(root=clone).stages} == {"restored"}
    assert (clone / "build/whole.json").read_bytes() == (finished / "build/whole.json").read_bytes()
    assert [run.commit for run in run_commits.listed(clone)] == [run.commit for run in run_commits.listed(finished)]


def test_the_second_time_only_what_is_new_moves(finished: Path, clone: Path, walked: Walked) -> None:
    assert team.push(finished) == team.Moved(0, 0, 0, 0)
    team.pull(clone)
    assert team.pull(clone) == team.Moved(0, 0, 0, 0)
    (clone / "params.yaml").write_text((clone / "params.yaml").read_text().replace("seed: s", "seed: t"))
    commit = walked(root=clone).run_commit
    assert commit
    assert team.push(clone).run_commits == 1
    moved = team.pull(finished)
    assert (moved.run_commits, moved.records, moved.missing) == (1, 5, 0)
    assert run_commits.listed(finished)[0].commit == commit
    assert not needed.whole(needed.cache(finished), needed.of_commits(finished, [commit]))[1]


def test_runs_that_nobody_has_pushed_stay_where_git_is_to_prune(clone: Path) -> None:
    git(clone, "config", "fetch.prune", "true")
    (clone / "dvc.lock").write_text("of a run\n")
    mine = run_commits.seal(clone, run_commits.snapshot(clone), "not pushed")
    (clone / "dvc.lock").unlink()
    assert team.pull(clone).run_commits == 1
    assert mine in [run.commit for run in run_commits.listed(clone)]


def test_a_damaged_list_of_files_counts_as_missing_and_is_pulled_again(finished: Path, clone: Path) -> None:
    team.pull(clone)
    name = next(name for name in needed.of_commits(clone, ["HEAD"]) if name.endswith(".dir"))
    for root, move in ((finished, team.push), (clone, team.pull)):
        listing = needed.place(needed.cache(root), name)
        listing.chmod(0o644)
        listing.write_text('[{"md5": "')
        listing.chmod(0o444)
        moved = move(root)
        assert (moved.objects, moved.missing) == ((0, 1) if move is team.push else (1, 0))
    assert not needed.whole(needed.cache(clone), [name])[1]


def test_objects_that_nobody_has_are_counted_and_no_obstacle(finished: Path, clone: Path) -> None:
    lost = next(name for name in needed.of_commits(finished, ["HEAD"]) if name.endswith(".dir"))
    for cache in (finished / ".dvc/cache", clone.parent / "store"):
        needed.place(cache, lost).unlink()
    assert team.push(finished).missing == 1
    assert team.pull(clone).missing == 1


def test_without_a_remote_it_is_one_line(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"git: no remote called origin.*`git remote add origin ADDRESS` names one"):
        team.push(finished)
    git(tmp_path, "init", "-q", "--bare", "origin")
    git(finished, "remote", "add", "origin", str(tmp_path / "origin"))
    for move in (team.push, team.pull):
        with pytest.raises(UserError, match="DVC: no remote; `dvc remote add --local --default store ADDRESS` names one"):
            move(finished)
    use_remotes(finished, tmp_path)
    assert team.push(finished).run_commits == 0  # there is none yet
    shutil.rmtree(tmp_path / "origin")
    with pytest.raises(UserError, match=r"git ls-remote: .*does not appear to be a git repository") as raised:
        team.push(finished)
    assert "\n" not in str(raised.value)
