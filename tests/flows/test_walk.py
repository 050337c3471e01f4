import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import plan as planning
from flows.history import run_commits
from flows.walk import LifecycleResult
from model.errors import UserError

pytestmark = pytest.mark.e2e  # lifecycles of a real DVC and git repository

STAGES = ["seed", *(f"part@{key}" for key in "abc"), "whole"]
Walked = Callable[..., LifecycleResult]
Change = Callable[..., None]


def outcomes(result: LifecycleResult) -> dict[str, str]:
    return {stage["name"]: stage["outcome"] for stage in result.stages}


def dvc(project: Path, verb: str) -> str:
    found = subprocess.run([sys.executable, "-m", "dvc", verb], cwd=project, capture_output=True, text=True, check=True)
    return found.stdout


def test_a_lifecycle_runs_everything_once_and_dvc_agrees(project: Path, walked: Walked) -> None:
    assert outcomes(walked()) == dict.fromkeys(STAGES, "ran")
    again = walked()
    assert outcomes(again) == dict.fromkeys(STAGES, "unchanged")
    assert again.exit_code == 0
    assert "up to date" in dvc(project, "status")
    assert "Running stage" not in dvc(project, "repro")
    assert json.loads((project / "metrics" / "whole.json").read_text()) == {"lines": 8}


def test_a_number_put_back_restores_and_runs_nothing(finished: Path, walked: Walked, change: Change) -> None:
    first = (finished / "build" / "whole").read_bytes()
    change("word: aa", "word: xx")
    changed = outcomes(walked())
    assert changed == {**dict.fromkeys(STAGES, "unchanged"), "part@a": "ran", "whole": "ran"}
    change("word: xx", "word: aa")
    assert outcomes(walked()) == {**dict.fromkeys(STAGES, "unchanged"), "part@a": "restored", "whole": "restored"}
    assert (finished / "build" / "whole").read_bytes() == first


def test_independent_stages_run_at_once_up_to_the_limit(walked: Walked, change: Change, project: Path) -> None:
    at_once = "echo begin >> log; sleep 0.6; echo end >> log"
    change("sleep ${seconds}; mkdir -p build/part", f"{at_once}; mkdir -p build/part", file="dvc.yaml")
    change("parallel_stages: 5", "parallel_stages: 2")
    walked()
    running, most = 0, 0
    for line in (project / "log").read_text().split():
        running += 1 if line == "begin" else -1
        most = max(most, running)
    assert most == 2


def test_a_failed_stage_lets_its_siblings_finish_and_skips_what_needs_it(project: Path, walked: Walked, change: Change) -> None:
    change(
        '(cat build/seed/words; echo "${item.word}")',
        '(cat build/seed/words; test "${item.word}" != fail && echo "${item.word}")',
        "dvc.yaml",
    )
    change("word: bb", "word: fail")
    result = walked()
    assert outcomes(result) == {**dict.fromkeys(STAGES, "ran"), "part@b": "failed", "whole": "skipped"}
    assert result.exit_code == 1
    [failed] = [stage for stage in result.stages if stage["outcome"] == "failed"]
    assert failed["reasons"] == [
        "part@b: exit code 1: no output; `stemma run --only part@b` runs it again, its output is in .stemma/logs/part@b.log"
    ]
    change("word: fail", "word: bb")
    assert outcomes(walked()) == {**dict.fromkeys(STAGES, "unchanged"), "part@b": "ran", "whole": "ran"}


def test_only_runs_the_stages_named_and_what_they_need(walked: Walked) -> None:
    assert outcomes(walked(only=["part@a"])) == {"seed": "ran", "part@a": "ran"}
    assert outcomes(walked(only=["part@a", "part@b"])) == {"seed": "unchanged", "part@a": "unchanged", "part@b": "ran"}


def test_only_an_unknown_stage_says_which_there_are(walked: Walked) -> None:
    with pytest.raises(UserError, match="part@z: no such stage; there is seed, part@a"):
        walked(only=["part@z"])


def test_force_runs_a_fresh_stage_and_nothing_above_it(finished: Path, walked: Walked) -> None:
    assert outcomes(walked(force=("part@a",))) == {**dict.fromkeys(STAGES, "unchanged"), "part@a": "ran"}


def test_a_key_that_is_removed_takes_its_lock_entry_and_outputs_with_it(finished: Path, walked: Walked, change: Change) -> None:
    change("  c:\n    word: cc\n", "")
    walked()
    assert "part@c" not in (finished / "dvc.lock").read_text()
    assert not (finished / "build" / "part" / "c").exists()
    with (finished / "params.yaml").open("a") as file:
        file.write("  c:\n    word: cc\n")
    assert outcomes(walked())["part@c"] == "restored"


def test_a_plan_answers_and_is_right_while_stages_run(project: Path, walked: Walked, change: Change) -> None:
    change("seconds: 0", "seconds: 0.2")
    done = threading.Event()
    plans: list[dict[str, str]] = []

    def look() -> None:
        while not done.is_set():
            plans.append({stage.name: stage.state for stage in planning.plan(project)})

    looker = threading.Thread(target=look)
    looker.start()
    walked()
    done.set()
    looker.join()
    assert len(plans) > 1
    ranks = {"stale": 0, "fresh": 1}
    for name in STAGES:  # stale until it has run, fresh ever after
        states = [ranks[plan[name]] for plan in plans]
        assert states == sorted(states)


def test_the_second_of_two_lifecycles_waits_and_says_who_runs(
    project: Path, walked: Walked, change: Change, capfd: pytest.CaptureFixture
) -> None:
    change("seconds: 0", "seconds: 0.1")
    results: list[LifecycleResult] = []
    both = [threading.Thread(target=lambda: results.append(walked())) for _ in range(2)]
    for one in both:
        one.start()
        time.sleep(0.2)
    for one in both:
        one.join()
    assert sorted(outcomes(result)["whole"] for result in results) == ["ran", "unchanged"]
    assert "another `stemma run` (pid " in capfd.readouterr().err


def test_what_a_waiting_lifecycle_sets_is_not_for_the_one_at_work(
    project: Path, walked: Walked, change: Change, capfd: pytest.CaptureFixture
) -> None:
    change("seconds: 0", "seconds: 0.2")
    first = threading.Thread(target=walked)
    second = threading.Thread(target=walked, kwargs={"write": lambda: change("word: cc", "word: dd")})
    first.start()
    time.sleep(0.2)
    second.start()
    for one in (first, second):
        one.join()
    assert "another `stemma run` (pid " in capfd.readouterr().err
    assert [one.message.partition(":")[0] for one in run_commits.listed(project)] == ["lifecycle", "lifecycle"]  # not "edited"
