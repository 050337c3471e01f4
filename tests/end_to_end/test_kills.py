"""SIGKILL at any moment, then the same command again: the same bytes and models as if nothing had happened, and nothing left behind."""

import json
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from .conftest import Project, copied

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

COMMANDS = {
    "ingest": ("ingest", "reviews.jsonl", "--to", "sentiment", "--license", "MIT"),
    "lifecycle": ("run",),
    "rollback": ("rollback", "sentiment/1", "--yes"),
}
SOURCES = """archives: {}
sources:
  sentences: {license: MIT, target: srl, reader: grammar, options: {num_sentences: 2000, seed: 1}, synthetic: true}
"""
VICTIMS = ("stemma alone", "stemma and its children")
MOMENTS = 50
IN_MAKE_TEST = 3

Tried = Callable[[str], "Trial"]


@dataclass(frozen=True)
class Trial:
    """A command, where it starts, and what it leads to if nobody disturbs it."""

    command: tuple[str, ...]
    start: Project
    end: Project
    seconds: float


@pytest.fixture(scope="module")
def tried(
    lifecycle: tuple[Project, Any],
    grown: Project,
    second_run: tuple[Project, float],
    server: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Tried:
    """`tried(kind)`: the command left undisturbed, once."""
    folder, known = tmp_path_factory.mktemp("tried"), dict[str, Trial]()
    known["lifecycle"] = Trial(COMMANDS["lifecycle"], grown, copied(second_run[0], folder / "lifecycle"), second_run[1])

    def trial(kind: str) -> Trial:
        if kind not in known:
            start = second_run[0] if kind == "rollback" else with_reviews(copied(lifecycle[0], folder / "start"))
            end = copied(start, folder / kind)
            began = time.monotonic()
            ran = end.stemma(*COMMANDS[kind], **server)
            assert ran.code == 0, ran
            known[kind] = Trial(COMMANDS[kind], start, end, time.monotonic() - began)
        return known[kind]

    return trial


def with_reviews(project: Project) -> Project:
    """Reviews to take in, beside a source that needs no network."""
    words = ("good", "bad")
    rows = ({"text": f"It was a {words[number % 2]} day, the {number}th of many.", "label": words[number % 2]} for number in range(200))
    (project.root / "reviews.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (project.root / "sources.yaml").write_text(SOURCES)
    project.call("git", "commit", "-qam", "a source of our own")
    return project


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=[pytest.mark.slow] * (seed >= IN_MAKE_TEST)) for seed in range(MOMENTS)])
def test_a_killed_command_given_again_ends_as_if_undisturbed(seed: int, tried: Tried, server: dict[str, str], tmp_path: Path) -> None:
    trial = tried(list(COMMANDS)[seed % len(COMMANDS)])
    project = copied(trial.start, tmp_path / "project")
    running = project.start(*trial.command, **server)
    time.sleep(random.Random(seed).uniform(0, trial.seconds))
    kill(running.pid, VICTIMS[seed // len(COMMANDS) % len(VICTIMS)])
    running.communicate()
    again = project.stemma(*trial.command, **server)
    assert again.code == 0, again
    assert state(project) == state(trial.end)
    assert json.loads(project.stemma("doctor", "--json", **server).out) == []


def kill(pid: int, victims: str) -> None:
    """Nobody is asked, and nobody can say goodbye."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in [process, *(process.children(recursive=True) if victims == VICTIMS[1] else [])]:
            with suppress(psutil.NoSuchProcess):
                one.kill()


def state(project: Project) -> dict[str, Any]:
    """All that a person has of a project: its files, what git has of them, and its models."""
    files = [project.root / name for name in ("data.dvc", "dvc.lock", "params.yaml", "sources.yaml")]
    return {
        **project.bytes_of("data", "build", "metrics"),
        **{file.name: file.read_text(encoding="utf-8") for file in files},
        "HEAD": project.call("git", "rev-parse", "HEAD^{tree}"),
        "models": json.loads(project.stemma("models", "--json").out),
    }
