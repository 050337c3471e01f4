import hashlib
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import graph, stages, workspace
from flows.data import versions
from flows.processes import Pack
from flows.stages import StageResult
from model.errors import UserError

Bring = Callable[..., StageResult]
Change = Callable[..., None]


@pytest.fixture
def bring(project: Path) -> Bring:
    """Bring one stage up to date."""
    return lambda name, force=False: stages.bring_up_to_date(Pack(project), name, lambda *_: {}, force)


def spoil(cache: Path, content: bytes) -> Path:
    """Damage the cache object that holds `content`; its mode stays, and so DVC believes it."""
    name = hashlib.md5(content).hexdigest()
    file = cache / "files" / "md5" / name[:2] / name[2:]
    file.chmod(0o644)
    file.write_bytes(content[::-1])
    file.chmod(0o444)
    return file


def test_a_stage_is_run_then_left_alone_then_restored(bring: Bring, project: Path) -> None:
    ran = bring("seed")
    assert (ran.outcome, ran.reasons) == ("ran", ["not in dvc.lock"])
    assert bring("seed") == StageResult("seed", "unchanged", [], key=ran.key, outs=ran.outs)
    shutil.rmtree(project / "build")
    restored = bring("seed")
    assert (restored.outcome, restored.reasons, restored.key) == ("restored", ["build/seed is missing"], ran.key)
    assert (project / "build" / "seed" / "words").read_text() == "one\ntwo\ns\n"


def test_a_damaged_cache_object_is_caught_on_restore_dropped_and_made_again(bring: Bring, project: Path) -> None:
    bring("seed")
    content = (project / "build" / "seed" / "words").read_bytes()
    damaged = spoil(project / ".dvc" / "cache", content)
    shutil.rmtree(project / "build")
    result = bring("seed")
    assert (result.outcome, result.reasons) == ("ran", ["build/seed is missing", "build/seed was damaged in the DVC cache"])
    assert (project / "build" / "seed" / "words").read_bytes() == damaged.read_bytes() == content


def test_a_damaged_listing_of_a_directory_is_caught_too(bring: Bring, project: Path) -> None:
    outs = bring("seed").outs
    listing = project / ".dvc" / "cache" / "files" / "md5" / outs["build/seed"][:2] / outs["build/seed"][2:]
    listing.chmod(0o644)
    listing.write_text("[]")
    listing.chmod(0o444)
    shutil.rmtree(project / "build")
    assert bring("seed").outcome == "ran"
    assert bring("seed").outs == outs


def test_a_missing_cache_object_of_a_missing_output_means_a_run(bring: Bring, project: Path) -> None:
    bring("seed")
    shutil.rmtree(project / "build")
    shutil.rmtree(project / ".dvc" / "cache" / "files")
    (project / ".dvc" / "cache" / "files").mkdir()
    assert bring("seed").outcome == "ran"


def test_outputs_that_the_cache_has_lost_go_back_into_it(bring: Bring, project: Path) -> None:
    bring("seed")
    shutil.rmtree(project / ".dvc" / "cache" / "files")
    result = bring("seed")
    assert (result.outcome, result.reasons) == ("restored", ["build/seed is not wholly in the DVC cache"])
    status = subprocess.run([sys.executable, "-m", "dvc", "status", "seed"], cwd=project, capture_output=True, text=True, check=True)
    assert "up to date" in status.stdout


def test_a_failed_stage_says_why_in_a_line_and_keeps_the_end_of_its_output(bring: Bring, change: Change) -> None:
    change("mkdir -p build/seed;", "seq 30; echo no such thing; exit 4;", "dvc.yaml")
    result = bring("seed")
    assert result.outcome == "failed"
    assert result.reasons == [
        "seed: exit code 4: no such thing; `stemma run --only seed` runs it again, its output is in .stemma/logs/seed.log"
    ]
    assert result.tail == [*(str(number) for number in range(12, 31)), "no such thing"]


def test_an_output_that_is_not_written_is_named(bring: Bring, change: Change) -> None:
    change("> build/seed/words; echo", "> /dev/null; rm -r build/seed; exit; echo", "dvc.yaml")
    assert bring("seed").reasons == ["build/seed: seed did not write it; mend the stage or its entry in dvc.yaml"]


def test_an_input_that_changes_while_the_stage_runs_fails_it(bring: Bring, project: Path, change: Change) -> None:
    change("sleep ${seconds}; mkdir -p build/seed", "sed -i s/seed:.s/seed:\\ z/ params.yaml; mkdir -p build/seed", "dvc.yaml")
    result = bring("seed")
    assert result.outcome == "failed"
    assert result.reasons == ["the command, params.yaml: changed while seed ran; `stemma run` runs it again"]
    assert not (project / "dvc.lock").exists()


def test_checkpoints_go_when_the_stage_has_succeeded(bring: Bring, project: Path) -> None:
    for stage in ("seed", "whole"):
        (project / ".stemma" / "checkpoints" / stage / "old key").mkdir(parents=True)
    bring("seed")
    assert [folder.name for folder in (project / ".stemma" / "checkpoints").iterdir()] == ["whole"]


def test_a_key_that_is_gone_takes_nothing_that_another_stage_makes(bring: Bring, project: Path, change: Change) -> None:
    bring("seed")
    bring("part@a")
    change("  a:\n    word: aa\n", "")
    change("build/part/a", "build/part/b", "dvc.yaml")
    with graph.changing(project) as repo:
        assert stages.prune(repo) == ["part@a"]
        assert stages.prune(repo) == []
    assert not (project / "build" / "part" / "a").exists()
    assert (project / "build" / "seed" / "words").exists()


def test_a_full_disk_while_committing_is_one_line_and_loses_nothing(bring: Bring, change: Change) -> None:
    first = bring("seed")
    change("cat data/words.txt >", "ulimit -f unlimited; head -c 1000000 /dev/zero >", "dvc.yaml")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
    try:
        result = bring("seed")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert result.outcome == "failed"
    assert result.reasons == ["build/seed: could not be written to the DVC cache; make room on its disk, then `stemma run` goes on"]
    assert bring("seed").outcome == "ran"
    change("ulimit -f unlimited; head -c 1000000 /dev/zero >", "cat data/words.txt >", "dvc.yaml")
    restored = bring("seed")
    assert (restored.outcome, restored.outs) == ("restored", first.outs)


def test_the_workspace_is_free_while_a_command_runs(project: Path, bring: Bring, change: Change) -> None:
    change(
        "sleep ${seconds}; mkdir -p build/seed",
        "cd .; flock -w 5 .stemma/locks/workspace -c true || exit 9; mkdir -p build/seed",
        "dvc.yaml",
    )
    assert bring("seed").outcome == "ran"
    with workspace.lock(project):
        pass


def test_the_content_hash_is_dvcs_own(project: Path, bring: Bring) -> None:
    outs = bring("seed").outs
    assert stages.content_hash(project / "build" / "seed") == outs["build/seed"]
    assert stages.content_hash(project / "data") == versions.in_use(project).hash
    assert stages.content_hash(project / "nothing") is None


def test_an_unknown_stage_is_a_line(bring: Bring) -> None:
    result = bring("nothing")
    assert result.outcome == "failed"
    assert "nothing" in result.reasons[0]


def test_edited_data_is_refused_with_both_ways_out(project: Path) -> None:
    (project / "data" / "words.txt").write_text("other\n")
    with (
        pytest.raises(UserError, match=r"data: not the files of data\.dvc; `dvc add data` .* `dvc checkout --force data.dvc`"),
        graph.changing(project) as repo,
    ):
        graph.check_sources(repo, checkout=True)


def test_data_of_which_the_cache_has_every_byte_is_checked_out_again(project: Path) -> None:
    words = project / "data" / "words.txt"
    words.rename(project / "data" / "other.txt")
    with graph.opened(project) as repo:
        assert list(graph.check_sources(repo, checkout=False)) == [str(project / "data")]
    assert not words.exists()
    with graph.changing(project) as repo:
        graph.check_sources(repo, checkout=True)
    assert [file.name for file in (project / "data").iterdir()] == ["words.txt"]


def test_missing_data_comes_back_from_the_cache_or_says_what_to_do(project: Path) -> None:
    shutil.rmtree(project / "data")
    with graph.changing(project) as repo:
        graph.check_sources(repo, checkout=True)
    assert (project / "data" / "words.txt").read_text() == "one\ntwo\n"
    shutil.rmtree(project / "data")
    shutil.rmtree(project / ".dvc" / "cache" / "files")
    with (
        pytest.raises(UserError, match=r"data: files of data\.dvc are missing here and in the DVC cache; `stemma ingest`"),
        graph.changing(project) as repo,
    ):
        graph.check_sources(repo, checkout=True)
