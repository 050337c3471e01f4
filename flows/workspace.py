"""The workspace: who may touch it now, and what git says of it."""

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from model.errors import UserError

Say = Callable[[str], None]
POLL = 0.01  # seconds

_one_folder = threading.RLock()


@contextmanager
def lock(root: Path, say: Say | None = None) -> Iterator[None]:
    """Hold the workspace for one short DVC operation; every DVC call of ours stands inside. Not reentrant.

    Held for milliseconds to seconds, never while a stage runs. `say` is told when it has to be waited for.
    """
    with _held(root / ".stemma" / "locks" / "workspace", lambda: "another stemma command is using the workspace; waiting", say):
        yield


@contextmanager
def inside(root: Path) -> Iterator[None]:
    """Have `root` as the current folder, against which DVC resolves some paths; threads at work in several checkouts take turns."""
    with _one_folder:
        before = Path.cwd()
        os.chdir(root)
        try:
            yield
        finally:
            os.chdir(before)


@contextmanager
def lifecycle_lock(root: Path, say: Say | None = None, verb: str = "run") -> Iterator[None]:
    """Hold the right to run the lifecycle, or to change what it reads and writes: one at a time, the next one waits and says for whom."""
    file = _lifecycle(root)
    with _held(file, lambda: f"another {_holder(file)} is at work; waiting for it to end", say):
        holder = file.with_suffix(".json")
        holder.write_text(json.dumps({"verb": verb, "pid": os.getpid(), "since": f"{datetime.now():%H:%M:%S}"}), encoding="utf-8")
        try:
            yield
        finally:
            holder.unlink(missing_ok=True)


def at_work(root: Path) -> str | None:
    """The lifecycle that holds that right, for people, or None; for a look, since one may end or begin at any moment."""
    file = _lifecycle(root)
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(file, blocking=False):
            return None
    except Timeout:
        return _holder(file)


def _lifecycle(root: Path) -> Path:
    return root / ".stemma" / "locks" / "lifecycle"


def _holder(file: Path) -> str:
    try:
        found = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):  # it has only just begun
        return "`stemma run`"
    return f"`stemma {found.get('verb', 'run')}` (pid {found['pid']}, since {found['since']})"


@contextmanager
def _held(file: Path, reason: Callable[[], str], say: Say | None) -> Iterator[None]:
    """Hold the lock of a file. Whoever waits for it holds the one before it, so nobody is starved by another who takes it in a loop."""
    file.parent.mkdir(parents=True, exist_ok=True)
    before, held, told = FileLock(file.with_suffix(".next")), FileLock(file), False
    try:
        for one in (before, held):
            try:
                one.acquire(blocking=False)
            except Timeout:
                if say and not told:
                    say(reason())
                told = True
                one.acquire(poll_interval=POLL)
        before.release()
        yield
    finally:
        before.release()
        held.release()


def check(root: Path) -> None:
    """Raise UserError unless `root` is a DVC project inside a git repository."""
    if not (root / ".dvc").is_dir():
        raise UserError(f"{root}: no .dvc folder; run `dvc init` here, or clone the project again")
    head_commit(root)


def head_commit(root: Path) -> str | None:
    """The commit of HEAD, or None in a repository without commits.

    Raises:
        UserError: `root` is not inside a git repository.
    """
    found = subprocess.run(["git", "rev-parse", "--verify", "--quiet", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    if found.returncode == 0:
        return found.stdout.strip()
    if found.returncode == 1 and not found.stderr:
        return None
    if "dubious ownership" in found.stderr:
        allow = f"`git config --global --add safe.directory '{root}'` allows it"
        raise UserError(f"{root}: it belongs to somebody else, so git refuses to work in it; {allow}")
    raise UserError(f"{root}: not a git repository ({found.stderr.strip()}); run `git init` here, or work in a clone")
