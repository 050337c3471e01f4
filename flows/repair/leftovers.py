"""What killed processes leave in the project's folders: locks, half-written files, checkpoints, checkouts, and processes of their own."""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from flows import atomic, processes, workspace
from flows.data import entering
from flows.history import checkouts
from flows.repair.ailments import Ailment
from flows.services import recorded

OLD = 60  # seconds: longer than another tool than git holds a lock of git's
FRESH = 10  # seconds: a file that is being written is renamed long before
LOST = {
    "schedule.json": "; set the schedule again",
    "services.json": "; servers that `stemma up` had started may still run: end them by hand",
    "rollback.json": "; a rollback was under way: roll back again",
    "entering.json": "; an ingest was under way: ingest the same again",
}
LOCKS_OF_GIT = ("index.lock", "HEAD.lock", "packed-refs.lock", "refs/**/*.lock")


def damaged_memories(root: Path) -> Iterator[Ailment]:
    """Files in which this machine remembers something, and which a disk or another tool has broken."""
    state = root / ".stemma"
    for file in (*state.glob("*.json"), *state.glob("processes/*.json"), *state.glob("parts/*.json")):
        with suppress(FileNotFoundError):  # its owner has just ended
            try:
                json.loads(file.read_text(encoding="utf-8"))
            except ValueError:
                file.unlink()
                yield Ailment(file.relative_to(root).as_posix(), "damaged", f"removed{LOST.get(file.name, '')}")


def processes_left(root: Path) -> Iterator[Ailment]:
    """Commands of an earlier lifecycle that still run."""
    for name in processes.end_leftovers(root):
        yield Ailment(name, "an earlier run had left it behind", "ended")


def locks(root: Path) -> Iterator[Ailment]:
    """Marks of processes that are gone. (Stemma's own locks and DVC's main one belong to the system, which lets go of them.)"""
    yield from _lock_of_dvc(root)
    yield from _locks_of_git(root)


def partial_files(root: Path) -> Iterator[Ailment]:
    """Files that were being written when the writer was killed; what they were to replace is whole."""
    state = root / ".stemma"
    for file in (*state.glob("*.partial"), *state.glob("*/*.partial")):
        with suppress(FileNotFoundError):
            if time.time() - file.stat().st_mtime > FRESH:
                file.unlink()
                yield Ailment(file.relative_to(root).as_posix(), "half written", "removed")


def ingest_left(root: Path) -> Iterator[Ailment]:
    """The workplace of an ingest that was killed; data.dvc, and so the data version in use, is the old one or the new one."""
    work, lock = root / ".stemma" / "ingest", root / ".stemma" / "locks" / "ingest"
    if work.exists() or (root / entering.JOURNAL).exists():
        with suppress(Timeout), FileLock(lock, blocking=False):
            shutil.rmtree(work, ignore_errors=True)
            done = "its unfinished files are removed"
            yield Ailment("ingest", "an ingest was killed", "; ".join(filter(None, [done, entering.complete(root)])))


def unsealed_checkpoints(root: Path) -> Iterator[Ailment]:
    """Checkpoints that a training was writing when it was killed; it goes on from the one before."""
    for folder in (root / ".stemma" / "checkpoints").glob("*/*/partial-*"):
        shutil.rmtree(folder, ignore_errors=True)
        yield Ailment(folder.parents[1].name, f"checkpoint {folder.name} is not whole", "removed; training goes on from the one before")


def _lock_of_dvc(root: Path) -> Iterator[Ailment]:
    """DVC's list of who reads and writes: it is written in place, so a kill can break it, and a dead process's number may be reused."""
    file = root / ".dvc" / "tmp" / "rwlock"
    if not file.exists():
        return
    with workspace.lock(root):
        try:
            held = json.loads(file.read_text(encoding="utf-8"))
        except json.JSONDecodeError:
            file.unlink()
            yield Ailment(".dvc/tmp/rwlock", "broken, so that DVC would refuse to work", "removed")
            return
        kept = {side: {path: _living(who) for path, who in held.get(side, {}).items()} for side in ("read", "write")}
        kept = {side: {path: who for path, who in entries.items() if who} for side, entries in kept.items()}
        if kept != {side: held.get(side, {}) for side in ("read", "write")}:
            atomic.write(root, file, json.dumps(kept))
            yield Ailment(".dvc/tmp/rwlock", "names processes that are gone", "they are taken out")


def _living(who: Any) -> Any:
    """Of one holder or several, those that live and may be DVC."""
    if isinstance(who, list):
        return [one for one in who if _living(one)]
    try:
        command = " ".join(psutil.Process(int(who["pid"])).cmdline())
    except psutil.NoSuchProcess:
        return None
    return who if any(word in command for word in ("dvc", "stemma", "python")) else None


def _locks_of_git(root: Path) -> Iterator[Ailment]:
    """git leaves these when it is killed, and then refuses to work; a git that lives is left alone."""
    folder = root / ".git"
    if not folder.is_dir():  # inside a larger repository, or a worktree: not ours alone
        return
    for file in [file for pattern in LOCKS_OF_GIT for file in folder.glob(pattern)]:
        if time.time() - file.stat().st_mtime < OLD or any(process.info["name"] == "git" for process in psutil.process_iter(["name"])):
            yield Ailment(file.relative_to(root).as_posix(), "git may be at work", todo="remove it if no git command runs here")
        else:
            file.unlink(missing_ok=True)
            yield Ailment(file.relative_to(root).as_posix(), "a git command was killed", "removed")


def services_ended(root: Path) -> Iterator[Ailment]:
    """What `stemma up` started and somebody else ended."""
    running = recorded.running(root)
    for name in recorded.read(root):
        if name not in running:
            yield Ailment(name, "`stemma up` started it and it has ended", todo="`stemma up` starts it again, `stemma down` forgets it")


def damaged_checkpoints(root: Path) -> Iterator[Ailment]:
    """Checkpoints to go on from whose bytes are not those that were sealed."""
    for folder in (root / ".stemma" / "checkpoints").glob("*/*/step-*"):
        if not _is_sealed(folder):
            shutil.rmtree(folder, ignore_errors=True)
            yield Ailment(folder.parents[1].name, f"checkpoint {folder.name} is damaged", "removed; training goes on from the one before")


def _is_sealed(folder: Path) -> bool:
    """Whether the manifest, which a training writes last, agrees with every byte."""
    try:
        manifest = json.loads((folder / "MANIFEST.json").read_text(encoding="utf-8"))
        return all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest for name, digest in manifest.items())
    except (OSError, ValueError):
        return False


def checkouts_left(root: Path) -> Iterator[Ailment]:
    """Checkouts of killed commands, with what still runs in them."""
    for name in checkouts.remove_leftovers(root):
        yield Ailment(f".stemma/checkouts/{name}", "a command that worked in it was killed", "removed")
