"""The same commit and the same data give the same bytes, whatever happens on the way."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import STAGES, Project

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(3600)]

STEPS = {
    f"{stage}.{name}": value
    for stage in ("pretrain.encoder", "finetune.sentiment")
    for name, value in (("max_steps", 4000), ("patience", 4000))
}
LONGER = (*(word for name, value in STEPS.items() for word in ("-S", f"{name}={value}")), "--only", "finetune@sentiment")


def test_two_clones_of_a_commit_give_the_same_checkpoints(clone: Callable[[str], Project], finished: Project) -> None:
    other = clone("other")
    assert other.run().outcomes == dict.fromkeys(STAGES, "ran")
    made = other.bytes_of("build")
    assert made == finished.bytes_of("build")
    assert {name.split("/")[1] for name in made} >= {"pretrain", "finetune"}


def test_a_run_killed_in_the_middle_of_both_trainings_gives_the_same_checkpoints(
    clone: Callable[[str], Project], server: dict[str, str]
) -> None:
    whole, killed = clone("whole"), clone("killed")
    whole.run(*LONGER, **server)
    for stage in ("pretrain@encoder", "finetune@sentiment"):
        kill_in_the_middle_of(stage, killed, server)
    ran = killed.run(*LONGER, **server)
    assert ran.outcomes["pretrain@encoder"] == "unchanged"
    assert ran.outcomes["finetune@sentiment"] == "ran"
    assert killed.bytes_of("build/pretrain", "build/finetune") == whole.bytes_of("build/pretrain", "build/finetune")


def kill_in_the_middle_of(stage: str, project: Project, server: dict[str, str]) -> None:
    """Begin a run, and end it with SIGKILL as soon as the stage has kept a checkpoint."""
    running = project.start("run", *LONGER, **server)
    while not sealed_checkpoints(project, stage):
        assert running.poll() is None, running.communicate()
        time.sleep(0.005)
    running.kill()
    running.communicate()
    assert not (project.root / "build" / stage.replace("@", "/") / "model.safetensors").exists()


def sealed_checkpoints(project: Project, stage: str) -> list[Path]:
    return list((project.root / ".stemma/checkpoints" / stage).glob("*/step-*/MANIFEST.json"))
