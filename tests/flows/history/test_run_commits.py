"""Run commits in repositories with all that people keep beside their code."""

import os
import subprocess
from pathlib import Path

import pytest

from flows.history import run_commits
from flows.history.git import git
from model.errors import UserError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project, committed, on a machine where git knows nobody's name."""
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "nobody"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    root = tmp_path / "project"
    write(root, "params.yaml", "seed: 1\n")
    write(root, "tasks/prepare.py", "old\n")
    write(root, "data.dvc", "outs:\n- md5: aaaaaaaa.dir\n  path: data\n")
    write(root, ".gitignore", "/data/\n/build/\n*.log\n")
    call(root, "git init -q -b main && git add -A")
    call(root, "git -c user.name=a -c user.email=b commit -qm start")
    return root


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def call(folder: Path, command: str) -> str:
    return subprocess.run(command, shell=True, cwd=folder, check=True, capture_output=True, text=True).stdout


def files(root: Path, commit: str) -> set[str]:
    return set(git(root, "ls-tree", "-r", "--name-only", commit).splitlines())


def record(root: Path, message: str = "a run") -> str:
    return run_commits.seal(root, run_commits.snapshot(root), message)


def test_it_holds_tracked_files_as_they_are_on_disk_and_new_code_and_nothing_else(root: Path) -> None:
    write(root, "params.yaml", "seed: 2\n")
    (root / "tasks/prepare.py").unlink()
    for name in (
        "tasks/new.py",
        "flows/new file 新.py",
        "tests/test_new.py",
        "model/new.py",
        "notes.txt",
        "scripts/x.py",
        "dvc.lock",
        "metrics/a.json",
    ):
        write(root, name, "new\n")
    for name in (".env", "tasks/.env", "data/rows", "build/model", "tasks/run.log", "flows/inner/x.py"):
        write(root, name, "secret\n")
    call(root / "flows/inner", "git init -q && git add -A && git -c user.name=a -c user.email=b commit -qm inner")
    call(root, "git init -q model/empty && git init -q elsewhere && touch elsewhere/x")
    for name in ("big.bin", "tasks/big.bin"):
        with (root / name).open("wb") as file:
            file.truncate(100 << 20)
    commit = record(root)
    code = {"tasks/new.py", '"flows/new file \\346\\226\\260.py"', "tests/test_new.py", "model/new.py"}
    assert files(root, commit) == {".gitignore", "params.yaml", "data.dvc", "dvc.lock", "metrics/a.json"} | code
    assert git(root, "show", f"{commit}:params.yaml") == "seed: 2"
    assert int(call(root, "du -sk .git").split()[0]) < 2000


def test_it_holds_all_that_a_rollback_may_write_whether_or_not_git_knows_it(root: Path) -> None:
    call(root, "git rm -q --cached data.dvc params.yaml && echo data.dvc >> .gitignore")
    new = {"sources.yaml", "dvc.yaml", "profiles/mine.yaml", "pyproject.toml"}
    for name in new:
        write(root, name, "new\n")
    write(root, "profiles/run.log", "ignored\n")
    assert files(root, record(root)) == {".gitignore", "tasks/prepare.py", "data.dvc", "params.yaml"} | new
    assert run_commits.listed(root)[0].data_version == "aaaaaaaa.dir"


def test_branch_index_and_work_tree_stay_as_they_are(root: Path) -> None:
    write(root, "params.yaml", "staged\n")
    call(root, "git add params.yaml")
    write(root, "params.yaml", "on disk\n")
    write(root, "tasks/new.py", "new\n")
    write(root, "tasks/meant.py", "meant\n")
    call(root, "git add --intent-to-add tasks/meant.py")
    status = call(root, "git status --porcelain")
    index = (root / ".git/index").read_bytes()
    head = git(root, "rev-parse", "HEAD")
    commit = record(root)
    assert (root / ".git/index").read_bytes() == index
    assert call(root, "git status --porcelain") == status
    assert git(root, "rev-parse", "HEAD", f"{commit}^") == f"{head}\n{head}"
    assert git(root, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert git(root, "show", f"{commit}:params.yaml", f"{commit}:tasks/meant.py") == "on disk\nmeant"


def test_author_and_committer_are_the_same_for_everybody(root: Path) -> None:
    commit = record(root)
    assert git(root, "show", "-s", "--format=%an %ae %cn %ce", commit) == "Stemma stemma@localhost Stemma stemma@localhost"


def test_the_tree_is_that_of_the_start_but_lock_and_metrics_are_those_of_the_end(root: Path) -> None:
    write(root, "dvc.lock", "before")
    write(root, "metrics/gone.json", "1")
    write(root, "metrics/a.json", "1")
    call(root, "git add -A")
    tree = run_commits.snapshot(root)
    write(root, "dvc.lock", "after")
    write(root, "params.yaml", "edited while it ran")
    write(root, "metrics/a.json", "2")
    write(root, "metrics/b.json", "2")
    (root / "metrics/gone.json").unlink()
    commit = run_commits.seal(root, tree, "a run")
    assert git(root, "show", f"{commit}:params.yaml", f"{commit}:dvc.lock", f"{commit}:metrics/a.json") == "seed: 1\nafter2"
    assert {name for name in files(root, commit) if name.startswith("metrics")} == {"metrics/a.json", "metrics/b.json"}


def test_they_are_listed_newest_first_and_the_same_tree_is_the_same_run_commit(root: Path) -> None:
    first = record(root, "first\n\nwith a body")
    assert record(root, "nothing is new") == first
    write(root, "data.dvc", "outs:\n- md5: bbbbbbbb.dir\n  path: data\n")
    second = record(root, "second")
    write(root, "data.dvc", "outs:\n- md5: aaaaaaaa.dir\n  path: data\n")
    third = record(root, "back again")
    found = run_commits.listed(root)
    assert [one.commit for one in found] == [third, second, first]
    assert [one.message for one in found] == ["back again", "second", "first"]
    assert [one.data_version for one in found] == ["aaaaaaaa.dir", "bbbbbbbb.dir", "aaaaaaaa.dir"]
    assert all(one.ref.startswith("refs/remotes/stemma/2") and one.date.endswith("+00:00") for one in found)


def test_a_whole_lifecycle_is_not_told_by_the_commit_of_a_part_with_the_same_tree(root: Path) -> None:
    part = record(root, "partial lifecycle: 1 ran")
    whole = record(root, f"{run_commits.COMPLETE}2 unchanged")
    assert [one.complete for one in run_commits.listed(root)] == [True, False]
    assert whole != part
    assert record(root, "partial lifecycle: 1 unchanged") == record(root, f"{run_commits.COMPLETE}2 unchanged") == whole


def test_branches_of_a_git_remote_called_stemma_are_no_run_commits(root: Path) -> None:
    call(root, "git update-ref refs/remotes/stemma/main HEAD && git update-ref refs/remotes/stemma/zeta/fix HEAD")
    assert run_commits.listed(root) == []
    assert run_commits.trees(root) == set()
    commit = record(root)
    assert commit != git(root, "rev-parse", "HEAD")
    assert [one.commit for one in run_commits.listed(root)] == [commit]


def test_a_git_remote_whose_branches_would_lie_among_them_is_refused_with_a_way_out_that_keeps_them(root: Path, tmp_path: Path) -> None:
    commit = record(root)
    call(tmp_path, "git clone -q --bare project theirs")
    call(root, "git remote add origin ../theirs && git remote add stemma ../theirs")
    with pytest.raises(UserError, match=r"^git: remote\.stemma\.fetch has .*; `git config --replace-all remote\.stemma\.fetch") as refused:
        run_commits.require_place(root)
    call(root, str(refused.value).split("`")[1])
    run_commits.require_place(root)
    call(root, "git fetch -q --all --prune && git remote rename stemma theirs")
    assert [one.commit for one in run_commits.listed(root)] == [commit]


def test_git_gc_keeps_them(root: Path) -> None:
    write(root, "tasks/new.py", "new\n")
    commit = record(root)
    call(root, "git reflog expire --expire=all --all && git gc -q --prune=now")
    assert git(root, "show", f"{commit}:tasks/new.py") == "new"


def test_a_repository_without_commits_or_index_has_them_too(tmp_path: Path) -> None:
    write(tmp_path, "tasks/new.py", "new\n")
    call(tmp_path, "git init -q")
    commit = record(tmp_path)
    assert files(tmp_path, commit) == {"tasks/new.py"}
    assert run_commits.listed(tmp_path)[0].data_version is None


def test_a_project_in_a_folder_of_its_repository(root: Path) -> None:
    write(root, "inner/tasks/a.py", "a\n")
    write(root, "inner/data.dvc", "outs:\n- md5: cccccccc.dir\n  path: data\n")
    write(root, "tasks/not_ours.py", "new\n")
    call(root, "git add inner/data.dvc")
    write(root, "params.yaml", "seed: 3\n")
    write(root, "inner/dvc.lock", "lock")
    write(root, "inner/metrics/a.json", "1")
    commit = record(root / "inner")
    assert {name for name in files(root, commit) if name.startswith("inner")} == {
        "inner/tasks/a.py",
        "inner/data.dvc",
        "inner/dvc.lock",
        "inner/metrics/a.json",
    }
    assert "tasks/not_ours.py" not in files(root, commit)
    assert git(root, "show", f"{commit}:params.yaml") == "seed: 3"
    assert run_commits.listed(root / "inner")[0].data_version == "cccccccc.dir"


def test_a_conflict_and_a_linked_worktree_are_no_obstacle(root: Path, tmp_path: Path) -> None:
    for branch, text in (("one", "1"), ("two", "2")):
        call(root, f"git checkout -q -b {branch} main")
        write(root, "params.yaml", text)
        call(root, "git -c user.name=a -c user.email=b commit -qam change")
    subprocess.run(["git", "merge", "-q", "one"], cwd=root, capture_output=True, env=os.environ | run_commits.AUTHOR)
    assert "<<<<<<<" in git(root, "show", f"{record(root)}:params.yaml")
    call(root, f"git worktree add -q --detach {tmp_path / 'linked'} main")
    commit = record(tmp_path / "linked")
    assert git(root, "show", f"{commit}:params.yaml") == "seed: 1"
    assert run_commits.listed(root)[0].commit == commit
