"""What killed processes leave is found by looking, and only what nobody is at work on is taken away."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from flows import documents
from flows.data import entering, versions
from flows.data.versions import DataVersion
from flows.repair import leftovers, quick
from flows.repair.ailments import Ailment, Check
from model.errors import UserError

LONG_GONE = 4_000_000  # above Linux's largest process id


def found(check: Check, root: Path) -> list[str]:
    return [str(ailment) for ailment in check(root)]


def old(file: Path) -> Path:
    """A file that somebody began to write a while ago."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("half")
    os.utime(file, (0, 0))
    return file


@pytest.fixture
def rwlock(project: Path) -> Path:
    return project / ".dvc/tmp/rwlock"


def test_nothing_is_found_in_a_project_at_rest(finished: Path) -> None:
    checks = [*quick.CHECKS, leftovers.services_ended, leftovers.damaged_checkpoints, leftovers.checkouts_left]
    assert [found(check, finished) for check in checks] == [[]] * len(checks)


@pytest.mark.parametrize(
    ("name", "told"),
    [("schedule.json", "; set the schedule again"), ("parts/a.dir.json", ""), ("ingest.json", ""), ("processes/1.json", "")],
)
def test_a_memory_that_cannot_be_read_is_named_by_whoever_reads_it_and_goes(project: Path, name: str, told: str) -> None:
    file = project / ".stemma" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b'{"read": \xff')
    with pytest.raises(UserError, match=r"damaged \(.*\); `stemma doctor` takes it away"):
        documents.remembered(file)
    assert found(leftovers.damaged_memories, project) == [f".stemma/{name}: damaged; removed{told}"]
    assert found(leftovers.damaged_memories, project) == []


def test_a_lock_list_that_dvc_cannot_read_is_removed(project: Path, rwlock: Path) -> None:
    rwlock.write_text('{"read": {"/a": [{"pid"')
    assert found(leftovers.locks, project) == [".dvc/tmp/rwlock: broken, so that DVC would refuse to work; removed"]
    assert not rwlock.exists()


def test_a_dead_process_loses_its_lock_and_a_living_one_keeps_it(project: Path, rwlock: Path) -> None:
    dead, living = {"pid": LONG_GONE, "cmd": "dvc repro"}, {"pid": os.getpid(), "cmd": "dvc repro"}
    rwlock.write_text(json.dumps({"write": {"/a": dead, "/b": living}, "read": {"/c": [dead, living]}}))
    assert found(leftovers.locks, project) == [".dvc/tmp/rwlock: names processes that are gone; they are taken out"]
    assert json.loads(rwlock.read_text()) == {"write": {"/b": living}, "read": {"/c": [living]}}
    assert found(leftovers.locks, project) == []


def test_a_lock_of_a_killed_git_is_removed(project: Path) -> None:
    (project / ".git/index.lock").touch()
    assert found(leftovers.locks, project) == [".git/index.lock: git may be at work; remove it if no git command runs here"]
    old(project / ".git/index.lock")
    [said] = found(leftovers.locks, project)
    assert said.startswith(".git/index.lock: ")
    assert (project / ".git/index.lock").exists() == ("git may be at work" in said)


def test_half_written_files_go_and_those_being_written_stay(project: Path) -> None:
    gone = [
        old(project / name) for name in (".stemma/params.yaml.12.partial", ".stemma/mlflow/mlflow.db.partial", ".stemma/dvc.lock.partial")
    ]
    new = project / ".stemma/services.json.12.partial"
    new.write_text("half")
    assert len(found(leftovers.partial_files, project)) == len(gone)
    assert not any(file.exists() for file in gone)
    assert new.exists()


def test_the_workplace_of_a_killed_ingest_goes_and_that_of_a_living_one_stays(project: Path) -> None:
    work = project / ".stemma/ingest/data"
    work.mkdir(parents=True)
    (project / ".stemma/locks").mkdir(exist_ok=True)
    with FileLock(project / ".stemma/locks/ingest"):
        assert found(leftovers.ingest_left, project) == []
    assert found(leftovers.ingest_left, project) == ["ingest: an ingest was killed; its unfinished files are removed"]
    assert not work.parent.exists()
    assert found(leftovers.ingest_left, project) == []


def test_a_source_that_a_killed_ingest_could_not_enter_is_entered(project: Path) -> None:
    before, after = "sources: {}", "sources: {new: 1}"
    (project / "sources.yaml").write_text(before)
    (project / ".stemma/locks").mkdir(parents=True, exist_ok=True)
    for version, left in (("none.dir", before), (versions.in_use(project).hash, after)):
        entering.announce(project, DataVersion(str(version), 0, 0), before, after)
        [said] = found(leftovers.ingest_left, project)
        assert ("its source is entered now" in said) == (left == after)
        assert (project / "sources.yaml").read_text() == left


def test_unsealed_and_damaged_checkpoints_go_and_a_sealed_one_stays(project: Path) -> None:
    folder = project / ".stemma/checkpoints/pretrain@encoder/key"
    for name in ("partial-00000003", "step-00000001", "step-00000002"):
        (folder / name).mkdir(parents=True)
        (folder / name / "state.json").write_text("{}")
        (folder / name / "MANIFEST.json").write_text(json.dumps({"state.json": hashlib.sha256(b"{}").hexdigest()}))
    (folder / "step-00000002/state.json").write_text("{ }")
    assert [one.what for one in leftovers.unsealed_checkpoints(project)] == ["pretrain@encoder"]
    assert [one.found for one in leftovers.damaged_checkpoints(project)] == ["checkpoint step-00000002 is damaged"]
    assert [place.name for place in folder.iterdir()] == ["step-00000001"]


def test_a_service_that_ended_by_itself_is_explained(project: Path) -> None:
    (project / ".stemma").mkdir(exist_ok=True)
    (project / ".stemma/services.json").write_text(json.dumps({"mlflow": {"pid": LONG_GONE, "started": 1.0, "url": "http://127.0.0.1:9"}}))
    advice = "`stemma up` starts it again, `stemma down` forgets it"
    assert list(leftovers.services_ended(project)) == [Ailment("mlflow", "`stemma up` started it and it has ended", todo=advice)]


def test_a_checkout_of_a_killed_command_goes(project: Path) -> None:
    left = project / ".stemma/checkouts/0123456789-deadbeef"
    left.mkdir(parents=True)
    assert found(leftovers.checkouts_left, project) == [
        ".stemma/checkouts/0123456789-deadbeef: a command that worked in it was killed; removed"
    ]
    assert not left.exists()
    shutil.rmtree(left.parent)
    assert found(leftovers.checkouts_left, project) == []
