"""What git does not know is kept by a rollback, or refused before anything changes; nothing of it is lost."""

import shutil
from pathlib import Path

import pytest

from flows.history.rollback import EVERYTHING
from model.errors import UserError

from ...conftest import drive
from .conftest import Two, back, git, killed, state

pytestmark = pytest.mark.e2e  # lifecycles of a real DVC and git repository


def test_files_that_git_does_not_know_are_kept_too(project: Path, two: Two) -> None:
    git(project, "rm", "-q", "--cached", "data.dvc")
    git(project, "commit", "-qm", "data.dvc is mine alone")
    (project / "profiles").mkdir()
    (project / "profiles/mine.yaml").write_text("theirs\n")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "a profile")
    theirs = git(project, "rev-parse", "HEAD")
    git(project, "rm", "-q", "--cached", "data.dvc", "profiles/mine.yaml")
    git(project, "commit", "-qm", "neither")
    (project / "profiles/mine.yaml").write_text("mine\n")
    kept = back(project, theirs, *EVERYTHING, "code").kept
    assert (project / "profiles/mine.yaml").read_text() == "theirs\n"
    back(project, kept, *EVERYTHING, "code")
    assert (project / "profiles/mine.yaml").read_text() == "mine\n"
    assert state(project) == two.after


def test_what_no_run_commit_takes_is_not_lost(project: Path, two: Two) -> None:
    (project / "tasks").mkdir()
    (project / "tasks/.env").write_text("theirs\n")
    git(project, "add", "--force", "-A")
    git(project, "commit", "-qm", "hidden")
    git(project, "rm", "-q", "--cached", "tasks/.env")
    git(project, "commit", "-qm", "not for git")
    (project / "tasks/.env").write_text("mine\n")
    with pytest.raises(UserError, match=r"^tasks/\.env: would be lost: .*; `git add --force` lets it be kept, or move it away$"):
        back(project, "HEAD^", *EVERYTHING, "code")
    git(project, "add", "--force", "tasks/.env")
    kept = back(project, "HEAD^", *EVERYTHING, "code").kept
    assert git(project, "show", f"{kept}:tasks/.env") == "mine"


@pytest.fixture
def file_and_folder(project: Path) -> tuple[str, str]:
    """The commits of a state in which tests/thing is a file and of the present one, in which it is a folder."""
    (project / "tests").mkdir()
    (project / "tests/thing").write_text("file\n")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "a file")
    (project / "tests/thing").unlink()
    (project / "tests/thing/inner").mkdir(parents=True)
    (project / "tests/thing/inner/x.py").write_text("x = 1\n")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "a folder")
    return git(project, "rev-parse", "HEAD^"), git(project, "rev-parse", "HEAD")


def test_a_file_that_became_a_folder_is_one_again_and_the_other_way_round(project: Path, file_and_folder: tuple[str, str]) -> None:
    file, folder = file_and_folder
    back(project, file, *EVERYTHING, "code")
    assert (project / "tests/thing").read_text() == "file\n"
    assert git(project, "status", "--porcelain") == ""
    back(project, folder, *EVERYTHING, "code")
    assert (project / "tests/thing/inner/x.py").read_text() == "x = 1\n"
    assert git(project, "status", "--porcelain") == ""


@pytest.mark.parametrize("stray", ["tests/thing/.cache", "tests/thing/inner/x.log"])
def test_what_git_does_not_know_and_is_in_the_way_is_told_before_anything_changes(
    project: Path, file_and_folder: tuple[str, str], stray: str
) -> None:
    (project / stray).write_text("mine\n")
    (project / ".git/info/exclude").write_text("*.log\nthing\n")
    with pytest.raises(UserError, match=rf"^{stray}: not in git, and in the way of files that are to come back; move that away"):
        back(project, file_and_folder[0], *EVERYTHING, "code")
    assert (project / "tests/thing/inner/x.py").exists()
    assert not (project / ".stemma/rollback.json").exists()
    shutil.rmtree(project / "tests/thing")
    git(project, "rm", "-q", "-r", "--cached", "tests")
    git(project, "commit", "-qm", "neither")
    (project / "tests/thing").write_text("mine\n")
    with pytest.raises(UserError, match=r"^tests/thing: not in git, and in the way"):
        back(project, file_and_folder[1], *EVERYTHING, "code")


def test_what_has_come_in_the_way_of_a_rollback_that_was_killed_is_one_line(project: Path, file_and_folder: tuple[str, str]) -> None:
    killed(project, file_and_folder[0], "verb._write", code=True)
    (project / "tests/thing/.cache").write_text("new\n")
    with pytest.raises(UserError, match=r"^tests/thing/\.cache: not in git, and in the way"):
        drive(project)
    (project / "tests/thing/.cache").unlink()
    drive(project)
    assert (project / "tests/thing").read_text() == "file\n"
