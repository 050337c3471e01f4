"""git in surroundings that are not ours."""

from pathlib import Path

import pytest

from flows.history import commits
from flows.history.git import git
from model.errors import UserError

from ..conftest import stemma


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with one commit."""
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "a").write_text("first\n")
    commits.commit(tmp_path, ["a"], "start")
    return tmp_path


def test_a_hook_of_another_repository_is_no_obstacle(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    git(other, "init", "-q")
    theirs = {"GIT_DIR": other / ".git", "GIT_WORK_TREE": other, "GIT_INDEX_FILE": ".git/index", "GIT_PREFIX": "x/"}
    ended = stemma(project, "data", "log", "--json", **{name: str(value) for name, value in theirs.items()})
    assert git(project, "rev-parse", "HEAD")[:10] in ended.stdout


def test_what_git_refused_is_called_by_its_name_whatever_settings_stand_before_it(root: Path) -> None:
    with pytest.raises(UserError, match=r"^git worktree: fatal: .*nothing"):
        git(root, "-c", "core.hooksPath=/dev/null", "worktree", "add", "--detach", "linked", "nothing")


def test_signatures_that_a_person_has_shown_are_no_part_of_an_answer(root: Path) -> None:
    write_script(root / "gpg", "echo a good signature >&2; echo '[GNUPG:] GOODSIG 0123456789ABCDEF tester'")
    git(root, "config", "gpg.program", str(root / "gpg"))
    git(root, "config", "log.showSignature", "true")
    plain = git(root, "cat-file", "commit", "HEAD")
    content = plain.replace("\n\n", "\ngpgsig -----BEGIN PGP SIGNATURE-----\n -----END PGP SIGNATURE-----\n\n", 1)
    signed = git(root, "hash-object", "-t", "commit", "-w", "--stdin", stdin=content)
    assert git(root, "log", "-1", "--format=%H", signed) == signed
    assert git(root, "show", "-s", "--format=%H", signed) == signed


def write_script(file: Path, text: str) -> None:
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
