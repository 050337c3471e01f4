"""`stemma tune` on a stage of two seconds, in checkouts of a real repository."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows import processes, settings
from flows.data import forgetting
from flows.display import Display
from flows.history.git import git
from flows.trials import lanes, study
from flows.trials.study import Tuned
from flows.walk import LifecycleResult
from model.errors import UserError

from ..conftest import REPOSITORY, STEMMA, stemma

pytestmark = pytest.mark.e2e  # checkouts of a real DVC and git repository

Ran = Callable[[], Counter[str]]
Walked = Callable[..., LifecycleResult]
TRIALS = 6


def tuned(root: Path, num_trials: int = TRIALS) -> Tuned:
    [found] = study.tune(root, ["learn"], num_trials, lambda line: None)
    return found


def seen(found: Tuned) -> list[tuple[Any, ...]]:
    """What two runs of the same study have in common."""
    return [(one.number, one.values, one.state, one.value, one.points) for one in found.trials]


def test_the_best_numbers_are_found_written_with_comments_kept_and_restored(learning: Path, ran: Ran, walked: Walked) -> None:
    found = tuned(learning)
    first = found.trials[0]
    assert (first.values, first.value) == ({"x": 5.0}, 4.0)
    assert found.winner.value == min(one.value for one in found.trials if one.value is not None)
    assert found.winner.value < first.value
    assert all(file.stat().st_size > 1000 for file in found.pictures)
    assert git(learning, "status", "--porcelain") == ""
    assert len(git(learning, "worktree", "list").splitlines()) == 1
    settings.save(learning, study.adopted(learning, [found]))
    assert re.search(rf"^  x: {found.winner.values['x']} +# how much$", (learning / "params.yaml").read_text(), re.MULTILINE)
    before = ran()
    assert {one["name"]: one["outcome"] for one in walked(["learn"]).stages} == {"base": "restored", "learn": "restored"}
    assert json.loads((learning / "build/learn.json").read_text())["validation_loss"] == pytest.approx(found.winner.value)
    assert tuned(learning) == found  # written numbers do not make it another study
    assert ran() == before


@pytest.mark.slow
def test_trials_see_no_record_that_is_forgotten(learning: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken_out(root: Path, say: Callable[[str], None]) -> None:
        (root / "learn.sh").write_text("without it")

    monkeypatch.setattr(forgetting, "keep_away", taken_out)
    with Display(learning) as display, lanes.opened(learning, display) as opened:
        assert git(learning, "show", f"{opened.commit}:learn.sh") == "without it"


def test_the_same_seed_tries_the_same_and_nothing_runs_twice(learning: Path, ran: Ran) -> None:
    found = tuned(learning)
    finished = {name: times for name, times in ran().items() if not name.startswith("began")}
    assert set(finished.values()) == {1}
    assert any(one.state == "stopped" for one in found.trials)
    assert sum(name.startswith("ended") for name in finished) == sum(one.state == "complete" for one in found.trials)
    shutil.rmtree(learning / ".stemma/studies")
    assert seen(tuned(learning)) == seen(found)
    assert {name: times for name, times in ran().items() if not name.startswith("began")} == finished
    longer = tuned(learning, TRIALS + 2)
    assert seen(longer)[:TRIALS] == seen(found)
    assert len({str(one.values) for one in longer.trials}) == TRIALS + 2


@pytest.mark.slow
def test_a_study_that_was_killed_again_and_again_ends_like_one_that_was_not(learning: Path, ran: Ran, tmp_path: Path) -> None:
    undisturbed = seen(tuned(learning))
    for folder in (".stemma/studies", ".dvc/cache/runs"):
        shutil.rmtree(learning / folder)
    (tmp_path / "runs").write_text("")
    draw, known = random.Random(1), dict[str, int]()
    for _ in range(3):
        kill_after(learning, len(known) + 1, draw.uniform(0, 2))
        over = journaled(learning)
        assert known.keys() <= over
        assert all(ran()[f"began {x}"] == times for x, times in known.items())  # what was over did not begin again
        known = {x: ran()[f"began {x}"] for x in over}
    assert seen(tuned(learning)) == undisturbed
    assert all(ran()[f"began {x}"] == times for x, times in known.items())
    assert list((learning / ".stemma/checkouts").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_trials_at_once_and_leaves_nothing_behind(learning: Path, ran: Ran, number: int) -> None:
    command = [sys.executable, "-c", STEMMA, str(learning), "tune", "learn", "--trials", str(TRIALS)]
    with subprocess.Popen(
        command,
        cwd=learning,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        while running.poll() is None and not any(name.startswith("began") for name in ran()):
            time.sleep(0.02)
        running.send_signal(number)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 128 + number
    assert "Traceback" not in said
    assert ("stopped; nothing is lost" in said) == (number == signal.SIGINT)
    here = [one.pid for one in psutil.process_iter(["cwd"]) if (one.info["cwd"] or "").startswith(str(learning))]
    assert here == [os.getpid()]
    assert not processes.running(learning)


def kill_after(root: Path, num_trials: int, seconds: float) -> None:
    """Begin a study, or go on with it; kill it these seconds after so many trials are over."""
    command = [sys.executable, "-c", STEMMA, str(root), "tune", "learn", "--trials", str(TRIALS)]
    with subprocess.Popen(
        command, cwd=root, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        while running.poll() is None and len(journaled(root)) < num_trials:
            time.sleep(0.05)
        time.sleep(seconds)
        running.kill()


def journaled(root: Path) -> set[str]:
    """The numbers of the trials that are over."""
    lines = [line for file in (root / ".stemma/studies").glob("*/journal.jsonl") for line in file.read_text().splitlines(keepends=True)]
    trials = [json.loads(line).get("trial") for line in lines if line.endswith("\n")]
    return {str(trial["values"]["x"]) for trial in trials if trial}


@pytest.mark.slow
def test_numbers_that_the_stage_fails_with_are_a_failed_trial_unless_they_are_the_present_ones(learning: Path) -> None:
    text = (learning / "params.yaml").read_text()
    (learning / "params.yaml").write_text(text.replace("low: 1.0, high: 9.0", "low: 0.1, high: 0.9"))
    found = tuned(learning, 3)
    assert [one.state for one in found.trials] == ["complete", "failed", "failed"]
    assert study.adopted(learning, [found]) == (learning / "params.yaml").read_text()  # the present numbers are the best
    assert found.trials[1].reason.endswith("exit code 1: the loss is not finite")
    (learning / "params.yaml").write_text(text.replace("x: 5.0", "x: 0.5"))
    with pytest.raises(UserError, match="learn: exit code 1: the loss is not finite"):
        tuned(learning, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing",), "nothing: no such stage; there is base, learn"),
        (("learn", "--trials", "1"), "--trials 1: nothing to compare; give at least 2, the first has the present numbers"),
        (("base",), "params.yaml: tune.ranges.base: no ranges are declared; add them, such as "),
    ],
)
def test_a_mistake_is_one_line(learning: Path, arguments: tuple[str, ...], message: str) -> None:
    ran = stemma(learning, "tune", *arguments)
    assert (ran.returncode, len(ran.stderr.splitlines())) == (1, 1)
    assert ran.stderr.startswith(message)


@pytest.mark.slow
def test_the_command_shows_a_diff_and_writes_it_only_if_it_is_told_to(learning: Path) -> None:
    before = (learning / "params.yaml").read_text()
    shown = stemma(learning, "tune", "learn", "--trials", "4")
    assert shown.returncode == 0, shown.stderr
    assert "-  x: 5.0   # how much\n+  x: " in shown.stdout, shown.stdout
    assert shown.stderr.endswith("tune: nobody to ask whether this is to be done; --yes does it\n")
    assert (learning / "params.yaml").read_text() == before
    told = json.loads(stemma(learning, "tune", "learn", "--trials", "4", "--yes", "--json").stdout)
    assert told["written"]
    assert f"  x: {told['studies'][0]['trials'][told['studies'][0]['best']]['values']['x']} " in (learning / "params.yaml").read_text()
