"""What is freed, and what `dvc gc` by hand leaves alone."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.history import checkouts, gc, needed, run_commits
from flows.history.git import git
from flows.walk import LifecycleResult
from model.errors import UserError
from tasks import tracking

from ..conftest import stemma

pytestmark = pytest.mark.e2e  # lifecycles of a real DVC and git repository

Change = Callable[[str, str], None]
Walked = Callable[..., LifecycleResult]


def dvc(root: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root, check=True, capture_output=True)


def forget(root: Path, commit: str | None) -> None:
    [run] = [run for run in run_commits.listed(root) if run.commit == commit]
    git(root, "update-ref", "-d", run.ref)


def test_runs_are_kept_and_what_no_commit_knows_is_freed(finished: Path, change: Change, walked: Walked) -> None:
    first = walked().run_commit
    change("seed: s", "seed: of no run commit")
    nobodys = walked(["whole"])
    lost = {stage["key"] for stage in nobodys.stages}
    forget(finished, nobodys.run_commit)
    change("seed: of no run commit", "seed: t")
    walked(["whole"])
    before = sum(file.stat().st_size for file in (finished / ".dvc/cache/files").rglob("*") if file.is_file())
    found = gc.waste(finished)
    assert found.objects
    assert {record.parent.name for record in found.records} <= lost
    assert gc.free(finished) == found
    after = sum(file.stat().st_size for file in (finished / ".dvc/cache/files").rglob("*") if file.is_file())
    assert (before - after, after) == (found.size, found.kept)
    assert str(gc.waste(finished)).startswith("nothing to free")

    change("seed: t", "seed: s")
    assert {stage["outcome"] for stage in walked(["whole"]).stages} == {"restored"}
    change("seed: s", "seed: of no run commit")
    assert {stage["outcome"] for stage in walked(["whole"]).stages} == {"ran"}
    assert first
    assert not needed.whole(needed.cache(finished), needed.of_commits(finished, [first]))[1]


def test_where_there_is_nobody_to_ask_nothing_is_freed_and_yes_does_it(finished: Path) -> None:
    waste = finished / ".dvc/cache/files/md5/12/3456789012345678901234567890ab"
    waste.parent.mkdir(parents=True, exist_ok=True)
    waste.write_text("of nobody")
    ended = stemma(finished, "gc")
    assert (ended.returncode, ended.stderr) == (1, "gc: nobody to ask whether this is to be done; --yes does it\n")
    assert waste.exists()
    assert stemma(finished, "gc", "--yes").returncode == 0
    assert not waste.exists()


def test_a_run_commit_that_is_taken_away_takes_its_objects_along_but_not_those_of_tags_and_branches(
    finished: Path, change: Change, walked: Walked
) -> None:
    tagged = walked().run_commit
    assert tagged
    git(finished, "tag", "release", tagged)
    forget(finished, tagged)
    change("seed: s", "seed: t")
    gone = walked().run_commit
    change("seed: t", "seed: s")
    walked()
    assert not gc.waste(finished).objects
    forget(finished, gone)
    assert gc.free(finished).objects
    assert not needed.whole(needed.cache(finished), needed.of_commits(finished, [tagged]))[1]


def test_what_a_damaged_list_of_files_may_name_is_not_freed(finished: Path) -> None:
    name = next(name for name in needed.of_commits(finished, ["HEAD"]) if name.endswith(".dir"))
    listing = needed.place(needed.cache(finished), name)
    listing.chmod(0o644)
    listing.write_text('[{"md5": "')
    with pytest.raises(UserError, match=rf"^gc: .*{name[2:]}: damaged, and the files that it lists would be freed; `stemma doctor`"):
        gc.free(finished)
    listing.unlink()
    assert gc.free(finished).objects


@pytest.mark.parametrize("text", ["cmd", "cmd: echo\nouts:\n- md5", "outs: [", "outs:\n", ""])
def test_a_half_written_record_is_no_obstacle(finished: Path, text: str) -> None:
    record = finished / ".dvc/cache/runs/ab/abcd/half"
    record.parent.mkdir(parents=True)
    record.write_text(text)
    assert record not in gc.free(finished).records


def test_dvc_gc_by_hand_leaves_runs_alone(finished: Path, change: Change, walked: Walked) -> None:
    walked()
    change("seed: s", "seed: t")
    walked()
    change("seed: t", "seed: u")
    walked()
    dvc(finished, "gc", "-A", "-f")
    for before, after in (("seed: u", "seed: t"), ("seed: t", "seed: s")):
        change(before, after)
        assert {stage["outcome"] for stage in walked().stages} <= {"restored", "unchanged"}


def test_nothing_is_freed_while_a_checkout_is_in_use_or_from_a_cache_of_others(shipped: Path, tmp_path: Path) -> None:
    with (
        checkouts.isolated(shipped, git(shipped, "rev-parse", "HEAD")),
        pytest.raises(UserError, match=r"gc: a run is at work in a checkout.*try again when it has ended"),
    ):
        gc.free(shipped)
    dvc(shipped, "cache", "dir", "--local", str(tmp_path / "everybody's"))
    with pytest.raises(UserError, match="is not this project's alone; `dvc gc --projects`"):
        gc.waste(shipped)


def test_what_a_registered_version_is_made_of_stays(finished: Path, change: Change, walked: Walked, empty_database: Path) -> None:
    shutil.copytree(empty_database.parent, finished / ".stemma/mlflow", dirs_exist_ok=True)
    once = walked(["seed"])
    [seed], version = once.stages, str(once.run_commit)
    forget(finished, version)
    change("seed: s", "seed: t")
    walked()
    assert gc.waste(finished).objects
    client = tracking.connect(finished)
    client.create_registered_model("sentiment")
    tags = {
        "stemma.lock": json.dumps({"seed": {"outs": seed["outs"]}}),
        "stemma.checkpoint": "c",
        "stemma.metrics": "{}",
        "stemma.run_commit": version,
    }
    client.create_model_version("sentiment", "file:///nowhere", tags=tags)
    assert not gc.waste(finished).objects
