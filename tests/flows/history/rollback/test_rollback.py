"""Going back: the bytes, the files and the branch as they were; all of it or nothing."""

import json
import os
from pathlib import Path

import pytest

from flows import workspace
from flows.history.rollback import EVERYTHING, rollback
from flows.history.states import Change
from flows.plan import plan
from model.errors import UserError

from .conftest import Edit, Two, back, contents, git, state

pytestmark = pytest.mark.e2e  # lifecycles of a real DVC and git repository


def test_everything_is_as_it_was_and_every_stage_is_fresh(project: Path, two: Two) -> None:
    head = git(project, "rev-parse", "HEAD")
    done = back(project, two.first)
    assert state(project) == two.before
    assert {stage.state for stage in plan(project)} == {"fresh"}
    assert done.change.changed == ["data.dvc", "dvc.lock", "metrics/whole.json", "params.yaml", "sources.yaml"]
    assert done.commit == git(project, "rev-parse", "HEAD")
    assert git(project, "rev-parse", "HEAD^") == head
    assert git(project, "diff", "--name-only", "HEAD^", "HEAD").splitlines() == done.change.changed
    assert git(project, "status", "--porcelain") == ""
    assert done.kept is None  # a run's commit has it all
    again = back(project, two.first)
    assert (again.commit, again.change.changed) == (None, [])


def test_files_are_on_the_disk_before_they_are_in_place(project: Path, two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    monkeypatch.setattr(os, "fsync", lambda file: sizes.append(os.fstat(file).st_size))
    done = back(project, two.first)
    assert {len(two.before[name]) for name in done.change.changed} <= set(sizes)


def test_a_rollback_can_be_gone_back_on(project: Path, two: Two) -> None:
    there = git(project, "rev-parse", "HEAD")
    made = back(project, two.first).commit
    back(project, "HEAD^")
    assert state(project) == two.after
    assert {stage.state for stage in plan(project)} == {"fresh"}
    back(project, made)
    assert state(project) == two.before
    assert git(project, "rev-list", "--count", f"{there}..HEAD") == "3"


def test_a_broken_file_is_replaced_like_any_other(project: Path, two: Two) -> None:
    for name in ("dvc.lock", "data.dvc", "params.yaml"):
        (project / name).write_text("outs: {a\n  - [\n")
    back(project, two.first)
    assert two.before.items() <= state(project).items()  # an output that only the broken dvc.lock named may stay


def test_where_head_has_the_state_already_there_is_nothing_to_commit(project: Path, two: Two) -> None:
    git(project, "reset", "-q", "HEAD^")
    done = back(project, two.first)
    assert (done.commit, state(project)) == (None, two.before)


def test_a_data_version_means_the_latest_run_with_it(project: Path, two: Two) -> None:
    back(project, two.data_version(two.before)[:10])
    assert state(project) == two.before


def test_the_users_index_and_other_changes_stay(project: Path, two: Two) -> None:
    (project / "staged.txt").write_text("staged\n")
    git(project, "add", "staged.txt")
    (project / "dvc.yaml").write_text((project / "dvc.yaml").read_text() + "# a remark\n")
    (project / "stray.txt").write_text("stray\n")
    back(project, two.first)
    assert git(project, "status", "--porcelain").splitlines() == ["M dvc.yaml", "A  staged.txt", "?? stray.txt"]  # without its first blank
    assert git(project, "log", "-1", "--format=%s").startswith("Go back to run")


def test_unsaved_work_is_kept_as_a_run_commit(project: Path, two: Two, change: Edit) -> None:
    change("seed: t", "seed: unsaved")
    kept = back(project, two.first).kept
    assert "seed: unsaved" in git(project, "show", f"{kept}:params.yaml")
    back(project, kept)
    assert "seed: unsaved" in (project / "params.yaml").read_text()


def test_what_was_only_kept_is_no_run_of_a_data_version(project: Path, two: Two, change: Edit) -> None:
    change("seed: t", "seed: unsaved")
    back(project, two.first)
    back(project, two.data_version(two.after))
    assert state(project) == two.after


def test_without_consent_nothing_happens(project: Path, two: Two) -> None:
    head = git(project, "rev-parse", "HEAD")
    asked: list[Change] = []
    assert back(project, two.first, agrees=lambda change: bool(asked.append(change))) is None
    assert "build/part/d" in asked[0].gone
    assert (state(project), git(project, "rev-parse", "HEAD")) == (two.after, head)


@pytest.mark.parametrize("what", ["missing", "damaged"])
def test_nothing_at_all_is_changed_if_an_object_is_missing_or_damaged(project: Path, two: Two, what: str) -> None:
    lock = git(project, "show", f"{two.first}:dvc.lock")
    md5 = lock[lock.index("path: build/whole\n") :].split("md5: ")[1].split()[0]
    held = project / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    held.chmod(0o644)
    held.write_text("other") if what == "damaged" else held.unlink()
    held.exists() and held.chmod(0o444)
    head = git(project, "rev-parse", "HEAD")
    said = rf"build/whole: {'not in' if what == 'missing' else 'damaged in'} the DVC cache; `stemma pull`.* `--data-only` goes without$"
    with pytest.raises(UserError, match=said):
        back(project, two.first)
    assert (state(project), git(project, "rev-parse", "HEAD")) == (two.after, head)
    assert not (project / ".stemma/rollback").exists()


def test_data_alone_is_not_offered_where_that_is_what_is_missing(project: Path, two: Two) -> None:
    cache, name = project / ".dvc/cache/files/md5", two.data_version(two.before)
    [words] = json.loads((cache / name[:2] / name[2:]).read_text())
    (cache / words["md5"][:2] / words["md5"][2:]).unlink()
    for parts in ((), ("data",)):
        with pytest.raises(UserError, match=r"^data/words.txt: not in the DVC cache; .* makes a registered version's again$"):
            back(project, two.first, *parts)


def test_what_only_another_machine_has_made_stays_as_absent_as_it_was(project: Path, two: Two) -> None:
    lock = git(project, "show", f"{two.second}:dvc.lock")
    md5 = lock[lock.index("path: build/whole\n") :].split("md5: ")[1].split()[0]
    (project / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).unlink()
    (project / "build/whole").unlink()
    (project / "build/part/d").unlink()
    asked: list[Change] = []
    back(project, two.second, agrees=lambda change: not asked.append(change))
    expected = {name: content for name, content in two.after.items() if name != "build/whole"}
    assert state(project) == expected
    assert [stage.name for stage in asked[0].rebuilds] == ["whole"]


def test_data_that_is_in_no_version_is_not_lost(project: Path, two: Two) -> None:
    (project / "data" / "words.txt").write_text("edited\n")
    with pytest.raises(UserError, match=r"data: its files are not in the DVC cache and would be lost; `dvc add data` keeps them"):
        back(project, two.first)
    assert (project / "data" / "words.txt").read_text() == "edited\n"


def test_a_reference_that_names_nothing_is_told_while_a_run_is_at_work(project: Path) -> None:
    with workspace.lifecycle_lock(project), pytest.raises(UserError, match="sentiment/1: no data version, run, model version"):
        rollback(project, "sentiment/1", EVERYTHING, lambda change: True, lambda line: pytest.fail(f"it waits: {line}"))


def test_data_alone(project: Path, two: Two) -> None:
    done = back(project, two.first, "data")
    assert contents(project, "data", "data.dvc", "sources.yaml") == {
        name: two.before[name] for name in contents(project, "data", "data.dvc", "sources.yaml")
    }
    assert contents(project, "build", "params.yaml", "dvc.lock") == {
        name: two.after[name] for name in contents(project, "build", "params.yaml", "dvc.lock")
    }
    assert git(project, "diff", "--name-only", "HEAD^", "HEAD").split() == ["data.dvc", "sources.yaml"]
    assert done.change.rebuilds[0].name == "seed"


def test_code_that_has_moved_on_is_told_with_what_the_next_run_would_do(project: Path, two: Two, change: Edit) -> None:
    change('echo "${letters.seed}" >>', 'echo "new ${letters.seed}" >>', "dvc.yaml")
    done = back(project, two.first)
    assert (done.change.rebuilds[0].name, done.change.rebuilds[0].reasons) == ("seed", ["the command changed"])
    assert [(stage.name, stage.state) for stage in plan(project) if stage.state != "fresh"] == [
        (stage.name, stage.state) for stage in done.change.rebuilds
    ]


def test_stages_that_its_numbers_do_not_go_with_are_told_with_the_ways_out(project: Path, two: Two, change: Edit) -> None:
    change('echo "${letters.seed}" >>', 'echo "${letters.other}" >>', "dvc.yaml")
    change("letters:", "letters:\n  other: o")
    message = r"its numbers and the stages here do not go together \(.*letters\.other.*\); --code takes the code back too, --data-only the"
    before = state(project)
    with pytest.raises(UserError, match=message) as error:
        back(project, two.first)
    assert "\n" not in str(error.value)
    assert state(project) == before
    back(project, two.first, "data")


def test_the_code_goes_back_too_if_asked_for(project: Path, two: Two, change: Edit) -> None:
    (project / "tasks").mkdir()
    (project / "tasks" / "new.py").write_text("new = 1\n")
    change('echo "${letters.seed}" >>', 'echo "new ${letters.seed}" >>', "dvc.yaml")
    kept = back(project, two.first, *EVERYTHING, "code").kept
    assert not (project / "tasks").exists()
    assert {stage.state for stage in plan(project)} == {"fresh"}
    assert git(project, "show", f"{kept}:tasks/new.py") == "new = 1"


def test_a_detached_head_gets_the_commit(project: Path, two: Two) -> None:
    git(project, "checkout", "-q", "--detach")
    main = git(project, "rev-parse", "HEAD")
    made = back(project, two.first).commit
    assert (git(project, "rev-parse", "HEAD"), git(project, "rev-parse", "HEAD^")) == (made, main)


def test_a_commit_without_data_is_no_state(project: Path, two: Two) -> None:
    git(project, "rm", "-q", "--cached", "data.dvc")
    git(project, "commit", "-qm", "no data")
    with pytest.raises(UserError, match=r"no data.dvc in commit"):
        back(project, "HEAD")
