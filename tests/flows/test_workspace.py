import subprocess
import threading
from pathlib import Path

import pytest

from flows import workspace
from model.errors import UserError


def test_the_lock_is_held_by_one_at_a_time_and_the_next_is_told(tmp_path: Path) -> None:
    heard: list[str] = []
    order: list[str] = []

    def second() -> None:
        with workspace.lock(tmp_path, heard.append):
            order.append("second")

    with workspace.lock(tmp_path, heard.append):
        other = threading.Thread(target=second)
        other.start()
        while not heard:
            other.join(0.01)
        order.append("first")
    other.join()
    assert order == ["first", "second"]
    assert heard == ["another stemma command is using the workspace; waiting"]


def test_who_waits_for_a_lifecycle_is_told_whose_it_is(tmp_path: Path) -> None:
    heard: list[str] = []
    with workspace.lifecycle_lock(tmp_path, verb="gc"):
        other = threading.Thread(target=lambda: workspace.lifecycle_lock(tmp_path, heard.append).__enter__(), daemon=True)
        other.start()
        while not heard:
            other.join(0.01)
    other.join()
    assert "`stemma gc` (pid " in heard[0]


def test_what_an_older_lifecycle_noted_of_itself_is_understood(tmp_path: Path) -> None:
    with workspace.lifecycle_lock(tmp_path):
        (tmp_path / ".stemma/locks/lifecycle.json").write_text('{"pid": 1, "since": "10:00:00"}')
        assert workspace.at_work(tmp_path) == "`stemma run` (pid 1, since 10:00:00)"


def test_a_folder_outside_git_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / ".dvc").mkdir()
    with pytest.raises(UserError, match=r"not a git repository .*; run `git init` here"):
        workspace.check(tmp_path)


def test_a_repository_of_another_user_is_told_with_what_git_wants(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(UserError, match=rf"belongs to somebody else, .* --global --add safe\.directory '{project}'` allows it$"):
        workspace.check(project)


def test_a_folder_without_dvc_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no \.dvc folder"):
        workspace.check(tmp_path)


def test_the_commit_of_a_project(project: Path) -> None:
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=project, capture_output=True, text=True, check=True).stdout.strip()
    assert workspace.head_commit(project) == head


def test_a_repository_without_commits_has_no_head(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert workspace.head_commit(tmp_path) is None
