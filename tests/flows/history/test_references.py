"""What a person may write for a state of the project."""

import shutil
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from flows.history import run_commits
from flows.history.git import git
from flows.history.references import resolve
from model.errors import UserError
from tasks import tracking

ONE, TWO = f"{'a' * 31}1.dir", f"{'a' * 31}2.dir"
PERSON = "-c user.name=tester -c user.email=tester@example.org"


def commit(root: Path, version: str, date: str) -> str:
    (root / "data.dvc").write_text(f"outs:\n- md5: {version}\n  path: data\n")
    command = f"git add -A && GIT_COMMITTER_DATE={date} git {PERSON} commit -qm '{version}'"
    subprocess.run(command, shell=True, cwd=root, check=True)
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two data versions, each in a commit; runs with the first one, then the second, then the first again."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / ".gitignore").write_text(".stemma\n")
    for number, version in enumerate((ONE, TWO), 1):
        commit(tmp_path, version, f"2020-01-0{number}T12:00:00Z")
        run(tmp_path, number)
    (tmp_path / "data.dvc").write_text(f"outs:\n- md5: {ONE}\n  path: data\n")
    run(tmp_path, 3)
    return tmp_path


def run(root: Path, number: int) -> str:
    (root / "dvc.lock").write_text(str(number))
    return run_commits.seal(root, run_commits.snapshot(root), f"run {number}")


def test_a_data_version_is_the_latest_run_with_it(root: Path) -> None:
    newest, second, _ = run_commits.listed(root)
    for text in (ONE, ONE.removesuffix(".dir")):
        found = resolve(root, text)
        assert (found.kind, found.commit, found.data_version, found.run_commit) == ("data", newest.commit, ONE, newest)
    assert resolve(root, TWO).commit == second.commit


def test_a_data_version_that_no_run_used_is_the_commit_that_brought_it_in(root: Path) -> None:
    version = f"{'c' * 32}.dir"
    introduced = commit(root, version, "2020-01-03T12:00:00Z")
    found = resolve(root, "cccccc")
    assert (found.kind, found.commit, found.data_version, found.run_commit) == ("data", introduced, version, None)


def test_a_data_version_that_came_with_a_merge_is_one_too(root: Path) -> None:
    version = f"{'d' * 32}.dir"
    other = commit(root, f"{'c' * 32}.dir", "2020-01-03T12:00:00Z")
    subprocess.run("git checkout -q -b side HEAD~1 && echo x > x", shell=True, cwd=root, check=True)
    commit(root, TWO, "2020-01-04T12:00:00Z")
    subprocess.run(f"git {PERSON} merge -q --no-commit {other}", shell=True, cwd=root, check=True)
    merge = commit(root, version, "2020-01-05T12:00:00Z")
    commit(root, f"{'e' * 32}.dir", "2020-01-06T12:00:00Z")
    assert resolve(root, "dddddd").commit == merge
    assert run_commits.changes_of_data(root, "HEAD").count(merge) == 1
    assert resolve(root, "cccccc").commit == other


def test_a_run_commit_goes_by_its_name_or_the_beginning_of_it(root: Path) -> None:
    newest = run_commits.listed(root)[0]
    for text in (newest.commit, newest.commit[:8], newest.ref.removeprefix("refs/remotes/")):
        found = resolve(root, text)
        assert (found.kind, found.run_commit, found.data_version) == ("run", newest, ONE)


def test_git_revisions_are_what_git_takes_them_for(root: Path) -> None:
    for text, version in (("HEAD", TWO), ("main~1", ONE), ("main^{/1.dir}", ONE)):
        found = resolve(root, text)
        assert (found.kind, found.commit, found.data_version, found.run_commit) == ("revision", git(root, "rev-parse", text), version, None)


def test_a_date_is_the_last_state_at_or_before_it(root: Path) -> None:
    newest = run_commits.listed(root)[0]
    today = datetime.now().date().isoformat()
    assert resolve(root, today).run_commit == newest
    assert resolve(root, (datetime.now() + timedelta(hours=1)).isoformat()).commit == newest.commit
    before_any_run = resolve(root, "2020-01-02T11:59:00+00:00")
    assert (before_any_run.kind, before_any_run.commit, before_any_run.data_version) == ("date", git(root, "rev-parse", "HEAD~1"), ONE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("aaaaaa", rf"aaaaaa: ambiguous, it may be data version {ONE}, data version {TWO}; write more of it"),
        (
            "nothing",
            rf"nothing: no data version, run, model .*; there is data version {ONE[:10]}; run \w{{10}}, [^;]*$",
        ),
        ("1999-01-01", "1999-01-01: no data version"),
        ("2020-13-01", "2020-13-01: not a date; write it like 2026-01-31"),
        ("models:/sentiment/1", "models:/sentiment/1: no such model version; there is none yet"),
        ("--all", "--all: no data version"),
    ],
)
def test_what_stands_for_nothing_or_too_much_is_one_line(root: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as raised:
        resolve(root, text)
    assert "\n" not in str(raised.value)


@pytest.mark.e2e
def test_models_and_runs_of_mlflow_lead_to_their_run_commit(root: Path, empty_database: Path) -> None:
    (root / ".stemma/mlflow").mkdir(parents=True)
    shutil.copy(empty_database, root / ".stemma/mlflow/mlflow.db")
    _, second, first = run_commits.listed(root)
    client = tracking.connect(root)
    where = tracking.experiment(client, root)
    parent = client.create_run(where, tags={"stemma.run_commit": second.commit}).info.run_id
    child = client.create_run(where, tags={"mlflow.parentRunId": parent}).info.run_id
    client.create_registered_model("sentiment")
    tags = {"stemma.run_commit": first.commit, "stemma.data_version": ONE, "stemma.checkpoint": "c", "stemma.metrics": "{}"}
    client.create_model_version("sentiment", "file:///nowhere", tags=tags)
    client.set_registered_model_alias("sentiment", "champion", "1")
    for text in ("models:/sentiment/1", "sentiment/1", "sentiment@champion", "models:/sentiment@champion"):
        found = resolve(root, text)
        assert (found.kind, found.commit, found.data_version, found.model, found.run_commit) == (
            *("model", first.commit, ONE),
            *(("sentiment", 1), first),
        )
    for run_id in (parent, child):
        found = resolve(root, run_id)
        assert (found.kind, found.run_commit, found.data_version) == ("run", second, TWO)
    with pytest.raises(UserError, match="models:/sentiment/7: no such model version; there is sentiment/1"):
        resolve(root, "models:/sentiment/7")
    with pytest.raises(UserError, match=r"0{32}: no data version"):
        resolve(root, "0" * 32)
