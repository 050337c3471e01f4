"""Every lifecycle is a commit."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flows import walk
from flows.display import Display
from flows.history import run_commits
from flows.history.git import git
from flows.history.rollback import EVERYTHING, rollback
from flows.walk import LifecycleResult
from model.errors import UserError

pytestmark = pytest.mark.e2e  # lifecycles of a real DVC and git repository

Change = Callable[..., None]
Walked = Callable[..., LifecycleResult]


def files(root: Path, commit: str | None) -> set[str]:
    assert commit
    return set(git(root, "ls-tree", "-r", "--name-only", commit).splitlines())


def newest(root: Path) -> run_commits.RunCommit:
    return run_commits.listed(root)[0]


def test_a_lifecycle_is_a_commit_of_what_it_ran_with_and_what_it_made(project: Path, change: Change, walked: Walked) -> None:
    change("seed: s", "seed: t")
    status, index = git(project, "status", "--porcelain"), (project / ".git/index").read_bytes()
    result = walked()
    assert files(project, result.run_commit) >= {"params.yaml", "dvc.yaml", "data.dvc", "dvc.lock", "metrics/whole.json"}
    assert "seed: t" in git(project, "show", f"{result.run_commit}:params.yaml")
    assert git(project, "show", f"{result.run_commit}:dvc.lock") + "\n" == (project / "dvc.lock").read_text()
    assert (newest(project).commit, newest(project).message) == (result.run_commit, "lifecycle: 5 ran")
    assert newest(project).complete
    assert (project / ".git/index").read_bytes() == index
    assert git(project, "status", "--porcelain").splitlines() == [*status.splitlines(), "?? dvc.lock", "?? metrics/"]


def test_nothing_new_is_no_new_commit_but_going_back_is_one(finished: Path, change: Change, walked: Walked) -> None:
    first = walked().run_commit
    assert walked().run_commit == first
    with Display(finished) as display, walk.opened(finished, display, (), ()) as steps:
        assert steps.executes_nothing()
        steps.alone()
        assert steps.result().run_commit == first
    assert len(run_commits.listed(finished)) == 1
    change("seed: s", "seed: t")
    walked()
    change("seed: t", "seed: s")
    again = walked().run_commit
    assert again != first
    assert git(finished, "rev-parse", f"{again}^{{tree}}") == git(finished, "rev-parse", f"{first}^{{tree}}")


def test_one_that_failed_says_what(project: Path, change: Change, walked: Walked) -> None:
    change('> "build/part/${key}"', "> build/part/${key}; test ${key} != b", "dvc.yaml")
    result = walked()
    assert result.exit_code == 1
    assert newest(project).message == "failed lifecycle: part@b failed; 3 ran, 1 failed, 1 skipped"
    assert not newest(project).complete
    body = git(project, "show", "-s", "--format=%b", newest(project).commit)
    assert body.startswith("part@b: exit code 1: ")
    assert "dvc.lock" in files(project, result.run_commit)


def test_a_part_of_the_graph_and_an_edited_one_are_told_from_a_whole_one(finished: Path, change: Change, walked: Walked) -> None:
    walked(["seed"])
    assert newest(finished).message == "partial lifecycle: 1 unchanged"
    change("cmd: sleep ${seconds}; cat", "cmd: echo >> params.yaml; cat", "dvc.yaml")
    walked()
    assert newest(finished).message == "edited lifecycle: 4 unchanged, 1 ran"
    assert git(finished, "show", "-s", "--format=%b", newest(finished).commit).strip() == "params.yaml was edited while it ran"


def test_metrics_of_a_stage_that_is_gone_go_too_and_a_persons_own_stay(finished: Path, change: Change, walked: Walked) -> None:
    walked()
    (finished / "metrics/mine.json").write_text("{}")
    assert "metrics/mine.json" in files(finished, walked(["seed"]).run_commit)
    stages = (finished / "dvc.yaml").read_text()
    change(stages[stages.index("  whole:") :], "", "dvc.yaml")
    walked(["seed"])
    assert [file.name for file in (finished / "metrics").iterdir()] == ["mine.json"]


def test_none_begins_where_git_would_take_its_run_commit_away(finished: Path, walked: Walked) -> None:
    git(finished, "remote", "add", "stemma", "nowhere")
    with pytest.raises(UserError, match=r"git: remote\.stemma\.fetch has branches put at the place of the run commits"):
        walked()
    with pytest.raises(UserError, match=r"remote\.stemma\.fetch"):
        rollback(finished, "HEAD", EVERYTHING, lambda change: True, lambda line: None)


def test_one_that_was_stopped_is_kept_too(project: Path) -> None:
    with Display(project) as display, walk.opened(project, display, (), ()) as steps:
        steps.do(steps.take()[0])
    assert newest(project).message == "stopped lifecycle: 1 ran"
