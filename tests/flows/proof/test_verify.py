"""A graph of shell stages is made again in a checkout of its own, and the first stage that goes another way is named."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.proof import verify
from flows.proof.verify import Verdict
from tasks import tracking
from tasks.registry.records import Version

from ..conftest import commit

pytestmark = pytest.mark.e2e

Verify = Callable[..., Verdict]


@pytest.fixture
def verified(shipped: Path, finished: Path, registered: Callable[..., Version], empty_database: Path) -> Iterator[Verify]:
    """`verified(commit)`: the verdict on a version that came out of the project's stages, and says that this was its run commit."""
    (finished / ".stemma/mlflow").mkdir(parents=True, exist_ok=True)
    shutil.copy(empty_database, finished / ".stemma/mlflow/mlflow.db")
    client = tracking.connect(finished)
    client.create_registered_model("sentiment")

    def verdict(made: str, cached: bool = False) -> Verdict:
        version = registered({"stemma.run_commit": made, "stemma.metrics": "{}"})
        number = client.create_model_version("sentiment", "file:///nowhere", tags=version.tags).version
        [found] = verify.verify(finished, [f"sentiment/{number}"], cached, lambda line: None)
        return found

    yield verdict
    assert list((finished / ".stemma/checkouts").glob("*")) == []


def rebuilt(verdict: Verdict) -> dict[str, str]:
    return {one.stage: one.state for one in verdict.rebuilt}


def test_every_stage_is_rebuilt_to_the_same_bytes(finished: Path, verified: Verify) -> None:
    before = Path.cwd()
    verdict = verified(commit(finished, "a run"))
    assert rebuilt(verdict) == dict.fromkeys(("seed", "part@a", "part@b", "whole"), "same")
    assert verdict.same
    assert verdict.summary().endswith("has the same bytes")
    assert Path.cwd() == before


def test_the_first_stage_that_differs_is_named_and_what_needs_it_is_left(
    finished: Path, verified: Verify, change: Callable[..., None]
) -> None:
    made = commit(finished, "a run")
    change("seed: s", "seed: t")
    verdict = verified(commit(finished, "another number"))
    assert rebuilt(verdict) == {"seed": "differs", "part@a": "not rebuilt", "part@b": "not rebuilt", "whole": "not rebuilt"}
    assert verdict.first.detail.startswith("build/seed (words) is ")
    assert verdict.to_json()["first_difference"] == "seed"
    assert verified(made).same


def test_a_stage_that_cannot_repeat_itself_is_named(finished: Path, verified: Verify, change: Callable[..., None]) -> None:
    change("cat build/part/a build/part/b", "(date +%N; cat build/part/a build/part/b)", file="dvc.yaml")
    verdict = verified(commit(finished, "a run"))
    assert rebuilt(verdict)["part@b"] == "same"
    assert verdict.first.stage == "whole"


def test_a_stage_that_fails_is_told_with_its_last_line(finished: Path, verified: Verify, change: Callable[..., None]) -> None:
    change("cat build/part/a", "echo broken; exit 3; cat build/part/a", file="dvc.yaml")
    verdict = verified(commit(finished, "a run"))
    assert (verdict.first.stage, verdict.first.state, verdict.first.detail) == ("whole", "failed", "exit code 3: broken")


def test_tampered_data_is_named_and_nothing_is_built_from_it(finished: Path, verified: Verify) -> None:
    [held] = [file for file in (finished / ".dvc/cache/files/md5").rglob("*") if file.is_file() and file.read_bytes() == b"one\ntwo\n"]
    held.chmod(0o644)
    held.write_text("one\nsix\n")
    verdict = verified(commit(finished, "a run"))
    assert set(rebuilt(verdict).values()) == {"not rebuilt"}
    assert verdict.first.detail == "its data version: in the DVC cache words.txt has other bytes"
    assert held.read_text() == "one\nsix\n"


def test_only_what_is_stored_is_hashed_if_asked(finished: Path, verified: Verify) -> None:
    verdict = verified(commit(finished, "a run"), cached=True)
    assert verdict.rebuilt == []
    assert {one.what: one.state for one in verdict.stored}["data version"] == "same"


def test_what_a_killed_verify_left_is_removed_by_the_next(finished: Path, verified: Verify) -> None:
    left = finished / ".stemma/checkouts/0123456789-deadbeef"
    (left / "build").mkdir(parents=True)
    assert verified(commit(finished, "a run")).same
    assert not left.exists()
