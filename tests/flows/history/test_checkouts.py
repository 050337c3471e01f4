"""Commits checked out beside the user's work, and what becomes of those whose owners are killed."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows.history import checkouts
from flows.history.git import git
from model.errors import UserError

pytestmark = pytest.mark.e2e  # lifecycles of a real DVC and git repository

ROOT = Path(__file__).parents[3]
KILLED = """
import os, signal, sys
from pathlib import Path
from flows.history import checkouts
from flows.processes import Pack
with checkouts.isolated(Path.cwd(), sys.argv[1]) as place:
    file = place / ".stemma/checkpoints/whole/key/step-1"
    file.parent.mkdir(parents=True)
    file.write_text("so far")
    Pack(place).start("a stage", ["sleep", "300"], {}, place / "log")
    print(place, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def state(root: Path) -> tuple[str, bytes, str]:
    """What must not change: the work tree, the index and the branch."""
    return git(root, "status", "--porcelain"), (root / ".git/index").read_bytes(), git(root, "symbolic-ref", "HEAD")


def killed(root: Path, commit: str) -> Path:
    """The checkout of a process that was killed in it."""
    command = [sys.executable, "-c", KILLED, commit]
    ran = subprocess.run(command, cwd=root, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    return Path(ran.stdout.strip())


def test_it_has_the_files_and_the_data_of_its_commit_and_leaves_the_users_alone(shipped: Path) -> None:
    (shipped / "params.yaml").write_text("not to be seen")
    (shipped / "data/words.txt").write_text("edited")
    before = state(shipped)
    with checkouts.isolated(shipped, git(shipped, "rev-parse", "HEAD")) as place:
        assert place.is_relative_to(shipped / ".stemma/checkouts")
        assert (place / "data/words.txt").read_text() == "one\ntwo\n"
        assert "letters" in (place / "params.yaml").read_text()
        assert (place / ".stemma/environment.json").exists()
        assert (place / ".stemma/mlflow").resolve() == shipped / ".stemma/mlflow"
        assert state(shipped) == before
    assert state(shipped) == before
    assert list((shipped / ".stemma/checkouts").iterdir()) == list((shipped / ".stemma/locks").glob("checkout-*")) == []
    assert len(git(shipped, "worktree", "list").splitlines()) == 1


def test_its_cache_is_the_projects_or_an_empty_one(shipped: Path, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    subprocess.run([sys.executable, "-m", "dvc", "remote", "add", "-q", "--local", "-d", "store", "../remote"], cwd=shipped, check=True)
    head = git(shipped, "rev-parse", "HEAD")
    with checkouts.isolated(shipped, head) as place:
        asked = [sys.executable, "-m", "dvc"]
        assert subprocess.check_output([*asked, "cache", "dir"], cwd=place, text=True).strip() == str(shipped / ".dvc/cache")
        assert str(remote) in subprocess.check_output([*asked, "remote", "list"], cwd=place, text=True)
    with checkouts.isolated(shipped, head, shared_cache=False) as place:
        assert (place / "data/words.txt").exists()
        assert not (place / ".dvc/cache").exists()
        assert subprocess.check_output([*asked, "status"], cwd=place, text=True)


def test_the_path_of_a_project_may_have_any_letters(shipped: Path) -> None:
    moved = shipped.rename(shipped.parent / "项目 ä")
    with checkouts.isolated(moved, git(moved, "rev-parse", "HEAD")) as place:
        assert (place / "data/words.txt").exists()


def test_a_commit_without_code_or_data_is_one_line(project: Path, shipped: Path) -> None:
    first = git(shipped, "rev-parse", "HEAD^")
    with pytest.raises(UserError, match=rf"{first[:10]}: no Stemma project in this commit, flows/cli.py is not there"):
        checkouts.require_project(shipped, first)
    shutil.rmtree(shipped / ".dvc/cache")
    with (
        pytest.raises(UserError, match=r"data: files of data.dvc are missing here and in the DVC cache"),
        checkouts.isolated(shipped, git(shipped, "rev-parse", "HEAD")),
    ):
        pass
    assert list((shipped / ".stemma/checkouts").iterdir()) == []


def test_what_a_killed_one_has_left_is_removed_by_the_next_which_goes_on_from_its_checkpoints(shipped: Path) -> None:
    head = git(shipped, "rev-parse", "HEAD")
    left = killed(shipped, head)
    assert left.exists()
    with checkouts.isolated(shipped, head) as place:
        assert (place / ".stemma/checkpoints/whole/key/step-1").read_text() == "so far"
        assert checkouts.in_use(shipped)
        assert [one.name for one in (shipped / ".stemma/checkouts").iterdir()] == [place.name]
        assert checkouts.remove_leftovers(shipped) == []
    assert not checkouts.in_use(shipped)
    assert len(git(shipped, "worktree", "list").splitlines()) == 1


def test_one_that_was_killed_while_it_was_made_is_removed(shipped: Path) -> None:
    head = git(shipped, "rev-parse", "HEAD")
    left = killed(shipped, head)
    (left / ".git").unlink()
    (shipped / ".git/worktrees" / left.name / "locked").write_text("initializing")
    assert checkouts.remove_leftovers(shipped) == [left.name]
    assert not left.exists()
    assert not (shipped / ".git/worktrees").exists() or not list((shipped / ".git/worktrees").iterdir())
