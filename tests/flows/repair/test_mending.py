"""An object that a registered version needs comes back from wherever its bytes still are, and is otherwise explained."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.history import objects
from flows.proof import evidence
from flows.repair import mending
from flows.repair.ailments import Ailment
from tasks import tracking
from tasks.registry.records import Version

pytestmark = pytest.mark.e2e  # lifecycles of a real DVC and git repository

WORDS = "one\ntwo\n"


@pytest.fixture
def held(finished: Path, registered: Callable[..., Version], empty_database: Path) -> Path:
    """The object that holds the data of a registered version."""
    (finished / ".stemma/mlflow").mkdir(parents=True, exist_ok=True)
    shutil.copy(empty_database, finished / ".stemma/mlflow/mlflow.db")
    client = tracking.connect(finished)
    client.create_registered_model("sentiment")
    client.create_model_version("sentiment", "file:///nowhere", tags=registered({"stemma.metrics": "{}"}).tags)
    with objects.opened(finished) as found:
        return found.local(found.listing(registered().tags["stemma.data_version"])["words.txt"])


def damage(file: Path) -> None:
    file.chmod(0o644)
    file.write_text("other")
    file.chmod(0o444)


def mended(root: Path) -> list[Ailment]:
    return list(mending.objects_of_versions(root))


def test_whole_objects_are_left_alone(finished: Path, held: Path) -> None:
    assert mended(finished) == []


def test_a_damaged_object_comes_back_from_the_work_tree(finished: Path, held: Path) -> None:
    damage(held)
    [ailment] = mended(finished)
    assert ailment.found == "data/words.txt of sentiment/1: damaged in the DVC cache"
    assert ailment.done == "brought back from the work tree"
    assert held.read_text() == WORDS
    assert mended(finished) == []


def test_lost_folders_come_back_from_the_work_tree(finished: Path, held: Path, registered: Callable[..., Version]) -> None:
    shutil.rmtree(finished / ".dvc/cache/files")
    assert all(ailment.done == "brought back from the work tree" for ailment in mended(finished))
    with objects.opened(finished) as found:
        assert evidence.stored("data version", registered().tags["stemma.data_version"], found).state == "same"
    assert mended(finished) == []


def test_what_is_nowhere_else_is_explained_and_the_damaged_object_goes(finished: Path, held: Path) -> None:
    damage(held)
    (finished / "data/words.txt").write_text("edited")
    [ailment] = mended(finished)
    assert ailment.done == ""
    assert "`stemma ingest` makes it again" in ailment.todo
    assert not held.exists()
    assert [one.found for one in mended(finished)] == ["data/words.txt of sentiment/1: missing in the DVC cache"]


def test_an_object_comes_back_from_the_remote(finished: Path, held: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / ".dvc/cache/files", tmp_path / "remote/files")
    add = ["remote", "add", "-q", "--local", "--default", "there", str(tmp_path / "remote")]
    subprocess.run([sys.executable, "-m", "dvc", *add], cwd=finished, check=True)
    damage(held)
    (finished / "data/words.txt").write_text("edited")
    assert [one.done for one in mended(finished)] == ["brought back from the DVC remote"]
    assert held.read_text() == WORDS
