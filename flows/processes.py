"""Commands as process groups of their own, on a leash: nothing of ours outlives us, and what did is found and ended."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import psutil

from flows import atomic, documents
from model.errors import UserError

LEASH = Path(__file__).with_name("leash.py")


class Pack:
    """The groups that one owner has started, to be ended together; after that it starts no more."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._groups: list[Group] = []
        self._closed = False
        self._lock = threading.Lock()

    def start(self, name: str, command: Sequence[str], variables: Mapping[str, str], log: Path | None) -> "Group":
        """Run `command` in the project with `variables` besides our own environment, its output to `log`, or to ours if None.

        Raises:
            UserError: the pack has been ended, so whoever asks is to stop too.
        """
        with self._lock:
            if self._closed:
                raise UserError(f"{name}: stopped before it began; `stemma run` goes on")
            group = Group(self.root, name, command, variables, log)
            self._groups.append(group)
            return group

    def kill(self) -> None:
        """End every group at once."""
        with self._lock:
            self._closed = True
            for group in self._groups:
                group.kill()


class Group:
    """A running command and everything below it, recorded in `.stemma/processes/` while it lives."""

    def __init__(self, root: Path, name: str, command: Sequence[str], variables: Mapping[str, str], log: Path | None) -> None:
        with _written_to(log) as output:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LEASH), *command],
                cwd=root,
                env=os.environ | variables,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output and subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._reaping = threading.Lock()
        self._record = _folder(root) / f"{self.pid}.json"
        self._record.parent.mkdir(parents=True, exist_ok=True)
        content = {"name": name, "pid": self.pid, "started": psutil.Process(self.pid).create_time()}
        atomic.write(root, self._record, json.dumps(content))

    def wait(self) -> int:
        """The exit code, once the command has ended by itself or by `kill`; what it left behind in its group is ended too."""
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with self._reaping:
            _kill(self.pid)
            code = self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        return code

    def forget(self) -> None:
        """Remove the record; the caller says when, so that whoever looks does not take a stage being committed for a stage at rest."""
        self._record.unlink(missing_ok=True)

    def ended(self) -> bool:
        """Whether the command has ended."""
        with self._reaping:
            return self._process.returncode is not None or bool(os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG))

    def kill(self) -> None:
        """End the whole group at once; nothing happens if it has been waited for, its id may be somebody else's."""
        with self._reaping:
            if self._process.returncode is None:
                _kill(self.pid)

    def terminate(self, seconds: float) -> None:
        """Ask the group to end, and end it at once if it has not in `seconds`."""
        with self._reaping:
            if self._process.returncode is None:
                os.killpg(self.pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while not self.ended() and time.monotonic() < deadline:
            time.sleep(0.02)
        self.kill()
        self.wait()
        self.forget()


@contextmanager
def _written_to(log: Path | None) -> Iterator[IO[bytes] | None]:
    if log is None:
        yield None
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        yield output


def shell(command: str | Sequence[str]) -> list[str]:
    """What runs a stage's command as DVC would: each line on its own, up to the first that fails."""
    lines = command.splitlines() if isinstance(command, str) else list(command)
    return ["/bin/sh", "-c", lines[0] if len(lines) == 1 else " && ".join(f"(\n{line}\n)" for line in lines)]


def running(root: Path) -> set[str]:
    """Names of the recorded groups that are alive, whoever started them."""
    return {record["name"] for record in _records(root) if members(record)}


def end_leftovers(root: Path) -> list[str]:
    """End every recorded group that is still alive and forget it; the names of those. Only for the holder of the lifecycle lock."""
    ended = []
    for record in _records(root):
        if record["pid"] == os.getpgid(0):  # our own: somebody has us on a leash in a checkout
            continue
        if members(record):
            _kill(record["pid"])
            ended.append(record["name"])
        (_folder(root) / f"{record['pid']}.json").unlink(missing_ok=True)
    return ended


def tail(log: Path, lines: int = 20) -> list[str]:
    """The last lines of a log."""
    if not log.exists():
        return []
    with log.open(encoding="utf-8", errors="replace") as file:
        return [line.rstrip() for line in deque(file, lines)]


def _folder(root: Path) -> Path:
    return root / ".stemma" / "processes"


def _records(root: Path) -> list[dict]:
    records = []
    for file in sorted(_folder(root).glob("*.json")):
        try:
            records.append(documents.remembered(file))
        except FileNotFoundError:  # it has just ended
            continue
    return records


def members(record: dict) -> list[int]:
    """Living processes of a recorded group (`pid`, `started`); none if its id has gone to somebody else since."""
    try:
        leader = psutil.Process(record["pid"])
        if abs(leader.create_time() - record["started"]) > 2:  # seconds: the clock may have been set
            return []
        if leader.status() != psutil.STATUS_ZOMBIE:
            return [leader.pid]
    except psutil.NoSuchProcess:
        pass
    return [pid for pid in psutil.pids() if _group(pid) == record["pid"]]


def _group(pid: int) -> int | None:
    try:
        alive = psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        return os.getpgid(pid) if alive else None
    except (psutil.NoSuchProcess, ProcessLookupError):
        return None


def _kill(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
