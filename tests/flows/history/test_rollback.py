"""Going back: the bytes, the files and the branch as they were; all of it or nothing."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows import environment, workspace
from flows.history import run_commits
from flows.history.rollback import EVERYTHING, Rollback, rollback
from flows.history.states import Change
from flows.plan import plan
from model.errors import UserError

from ..conftest import drive, stemma

pytestmark = pytest.mark.e2e  # lifecycles of a real DVC and git repository

Edit = Callable[..., None]


def git(root: Path, *arguments: str) -> str:
    named = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    return subprocess.run(["git", *named, *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def back(root: Path, ref: str, *parts: str, agrees: Callable[[Change], bool] = lambda change: True) -> Rollback | None:
    return rollback(root, ref, frozenset(parts) or EVERYTHING, agrees, lambda line: None)


def contents(root: Path, *names: str) -> dict[str, bytes]:
    """Of files and folders."""
    files = [file for name in names for file in [root / name, *(root / name).rglob("*")] if file.is_file()]
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in files}


def state(root: Path) -> dict[str, bytes]:
    return contents(root, "data", "build", "metrics", "data.dvc", "dvc.lock", "params.yaml", "sources.yaml")


def run(root: Path) -> str:
    """What a run leaves: its commit."""
    return run_commits.seal(root, run_commits.snapshot(root), f"{run_commits.COMPLETE}all")


@dataclass(frozen=True)
class Two:
    """The run commits of two states, with other data and numbers, and the bytes of each."""

    first: str
    second: str
    before: dict[str, bytes]
    after: dict[str, bytes]

    def data_version(self, texts: dict[str, bytes]) -> str:
        return next(line for line in texts["data.dvc"].decode().split() if line.endswith(".dir"))


@pytest.fixture(scope="module")
def made(template: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Two]:
    """A project after two runs, each of them committed."""
    root = tmp_path_factory.mktemp("made") / "project"
    shutil.copytree(template, root, symlinks=True)
    surroundings, folder = dict(os.environ), Path.cwd()
    environment.quiet(root)
    os.environ |= {f"GIT_{role}_{what}": "tester@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    (root / "sources.yaml").write_text("first\n")
    git(root, "add", "sources.yaml")
    drive(root)
    first, before = run(root), state(root)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    (root / "data" / "words.txt").write_text("one\ntwo\nthree\n")
    (root / "data" / "more.txt").write_text("more\n")
    subprocess.run(["dvc", "add", "-q", "data"], cwd=root, check=True)
    (root / "sources.yaml").write_text("second\n")
    numbers = (root / "params.yaml").read_text().replace("seed: s", "seed: t").replace("  c:\n    word: cc\n", "  d:\n    word: dd\n")
    (root / "params.yaml").write_text(numbers)
    drive(root)
    two = Two(first, run(root), before, state(root))
    git(root, "add", "-A")
    git(root, "commit", "-qm", "second")
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(surroundings)
    return root, two


@pytest.fixture
def project(made: tuple[Path, Two], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it; the process is in it."""
    before, root = dict(os.environ), tmp_path / "project"
    shutil.copytree(made[0], root, symlinks=True)
    environment.quiet(root)
    monkeypatch.chdir(root)
    yield root
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def two(made: tuple[Path, Two]) -> Two:
    return made[1]


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


def test_a_detached_head_gets_the_commit(project: Path, two: Two) -> None:
    git(project, "checkout", "-q", "--detach")
    main = git(project, "rev-parse", "HEAD")
    made = back(project, two.first).commit
    assert (git(project, "rev-parse", "HEAD"), git(project, "rev-parse", "HEAD^")) == (made, main)


def killed(root: Path, ref: str, call: str, code: bool = False) -> None:
    """A rollback whose process is killed just before it calls this for the first time after the journal was written."""
    script = f"""
import os
from pathlib import Path
import flows.history.rollback as verb
from flows.history import commits
from flows import atomic
write = atomic.write
def die(*arguments, **options): os.kill(os.getpid(), 9)
def written(root, file, text):
    write(root, file, text)
    if file == root / verb.JOURNAL:
        {call} = die
atomic.write = written
verb.rollback(Path.cwd(), {ref!r}, verb.EVERYTHING{' | {"code"}' if code else ""}, lambda change: True, print)
"""
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    ended = subprocess.run([sys.executable, "-c", script], cwd=root, env=here, capture_output=True, text=True)
    assert ended.returncode == -9, ended.stderr


@pytest.mark.parametrize("call", ["verb.placement.place", "verb._write", "verb.commits.commit", "commits.git"])
def test_killed_anywhere_the_same_again_ends_as_if_undisturbed(project: Path, two: Two, call: str) -> None:
    head = git(project, "rev-parse", "HEAD")
    killed(project, two.first, call)
    back(project, two.first)
    assert state(project) == two.before
    assert git(project, "rev-list", "--count", f"{head}..HEAD") == "1"
    assert git(project, "status", "--porcelain") == ""
    assert not list((project / ".stemma").glob("rollback*"))


def test_the_next_run_completes_what_was_killed(project: Path, two: Two) -> None:
    killed(project, two.first, "verb._write")
    assert {stage["outcome"] for stage in drive(project).stages} == {"unchanged"}
    assert state(project) == two.before
    assert git(project, "log", "-1", "--format=%s").startswith("Go back to run")


def test_the_next_ingest_completes_what_was_killed(project: Path, two: Two) -> None:
    killed(project, two.first, "verb._write")
    ended = stemma(project, "ingest")
    assert "going on with the rollback to " in ended.stderr
    assert state(project) == two.before


@pytest.mark.slow
def test_a_number_given_to_the_next_run_is_not_taken_back_by_what_was_killed(project: Path, two: Two) -> None:
    killed(project, two.first, "verb._write")
    ended = stemma(project, "run", "-S", "parts.a.word=new")
    assert ended.returncode == 0, ended.stderr
    assert (project / "build/part/a").read_text().endswith("new\n")
    assert (project / "sources.yaml").read_text() == "first\n"


@pytest.mark.parametrize("seed", [0, 1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 20))])
def test_killed_at_any_moment_alone_or_with_its_children(project: Path, two: Two, seed: int) -> None:
    draw, head = random.Random(seed), git(project, "rev-parse", "HEAD")
    script = "from pathlib import Path; import flows.history.rollback as verb; print(1, flush=True); "
    script += f"verb.rollback(Path.cwd(), {two.first!r}, "
    script += "verb.EVERYTHING, lambda change: True, print)"
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(
        command, cwd=project, env=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout
        process.stdout.readline()  # it is about to begin
        time.sleep(draw.uniform(0, 4))
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL) if draw.random() < 0.5 else process.kill()
    back(project, two.first)
    assert state(project) == two.before
    assert git(project, "rev-list", "--count", f"{head}..HEAD") == "1"
    assert git(project, "status", "--porcelain") == ""
    assert not list((project / ".stemma").glob("rollback*"))


def test_a_rollback_that_was_killed_is_given_up_where_others_have_committed_since(project: Path, two: Two) -> None:
    change = {
        "title": "x",
        "commit": two.first,
        "files": {"params.yaml": None},
        "changed": [],
        "outs": {},
        "other": [],
        "gone": [],
        "moves": [],
        "forgotten": 0,
        "rebuilds": [],
    }
    (project / ".stemma/rollback.json").write_text(json.dumps({"change": change, "head": "0" * 40}))
    back(project, "HEAD")
    assert not (project / ".stemma/rollback.json").exists()


def test_a_commit_without_data_is_no_state(project: Path, two: Two) -> None:
    git(project, "rm", "-q", "--cached", "data.dvc")
    git(project, "commit", "-qm", "no data")
    with pytest.raises(UserError, match=r"no data.dvc in commit"):
        back(project, "HEAD")
