"""A project after two runs, and the ways to look at it and to go back."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows import environment
from flows.history import run_commits
from flows.history.rollback import EVERYTHING, Rollback, rollback
from flows.history.states import Change

from ...conftest import drive

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
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parents[4])}
    ended = subprocess.run([sys.executable, "-c", script], cwd=root, env=here, capture_output=True, text=True)
    assert ended.returncode == -9, ended.stderr
