"""The other processes of a training: started by the stage itself, ended with it however it ends, and missed when one of them dies.

The stage's own process is rank 0. The others run the same stage with nobody to tell anything; what they print is kept until one fails.
"""

import _thread
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

from model.errors import UserError

GRACE = 3.0  # seconds for rank 0 to notice by itself that another has died, and to say so in an orderly way
LINES = 1_000_000  # bytes of what a process printed last


@contextmanager
def leading(num_processes: int, command: Sequence[str]) -> Iterator[None]:
    """Inside, this process is rank 0 of so many that run `python -m tasks COMMAND...`.

    Raises:
        UserError: one of them died.
    """
    if num_processes == 1:
        yield
        return
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # DistributedDataParallel warns of a setting that is meant
    listener = socket.create_server(("127.0.0.1", 0))
    others = Others(num_processes, [*command, "--port", str(listener.getsockname()[1])])
    from model import parallel  # takes seconds, as it does in the others

    try:
        parallel.join(0, num_processes, listener.getsockname()[1], listener.detach())
        yield
    except RuntimeError:  # of torch.distributed: a connection is gone
        if dead := others.dead(GRACE):
            raise UserError(others.obituary(dead)) from None
        raise
    finally:
        others.end()
        parallel.leave()


@contextmanager
def following(rank: int, num_processes: int, port: int) -> Iterator[None]:
    """Inside, this process is one of those that `leading` has started; it ends with rank 0, and not sooner if all goes well."""
    from model import parallel

    parallel.join(rank, num_processes, port)
    yield
    threading.Event().wait()  # for the leash: rank 0 may still be reading what was sent to it


def on_leash() -> None:
    """From now on this process ends when its standard input does, a pipe from rank 0."""
    _thread.start_new_thread(_end_with_parent, ())


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


class Others:
    """The processes of rank 1 and above. None of them ends by itself but by a mistake."""

    def __init__(self, num_processes: int, command: Sequence[str]) -> None:
        self.printed: list[IO[bytes]] = [tempfile.TemporaryFile() for _ in range(1, num_processes)]  # noqa: SIM115  # until the end
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tasks", *command, "--rank", str(rank)],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
            for rank, file in enumerate(self.printed, 1)
        ]
        self._ending = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def dead(self, seconds: float) -> list[int]:
        """Ranks of those that have died, or do within so many seconds."""
        deadline = time.monotonic() + seconds
        while not (found := [rank for rank, process in enumerate(self.processes, 1) if process.poll() is not None]):
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        return found

    def obituary(self, dead: Sequence[int]) -> str:
        """One line about the one that died first, as far as can be told: the others lost their connections to it."""
        rank = min(dead, key=lambda rank: self.processes[rank - 1].returncode)  # negative if by a signal
        code = self.processes[rank - 1].returncode
        which = f"training: process {rank + 1} of {len(self.processes) + 1}"
        if code < 0:
            return f"{which} was ended by {signal.Signals(-code).name}; `stemma run` goes on from the last checkpoint"
        file = self.printed[rank - 1]
        printed = os.pread(file.fileno(), LINES, max(0, os.fstat(file.fileno()).st_size - LINES)).decode(errors="replace").strip()
        last = printed.rpartition("\n")[2]
        if code != 1 or not last:
            return f"{which} ended by itself, with code {code}; `stemma run` goes on from the last checkpoint"
        if "Traceback" not in printed:
            return last
        print(printed, file=sys.stderr)  # noqa: T201
        return f"{which} failed ({last}); see its traceback above"

    def end(self) -> None:
        """All of them at once."""
        self._ending.set()
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
            if process.stdin:
                process.stdin.close()
        for file in self.printed:
            file.close()

    def _watch(self) -> None:
        """End this process if another is dead and that goes unnoticed: what waits for it may wait for ever."""
        while not self._ending.is_set() and not self.dead(1.0):
            pass
        if not self._ending.wait(2 * GRACE):
            print(self.obituary(self.dead(0)), file=sys.stderr, flush=True)  # noqa: T201
            for process in self.processes:
                process.kill()
            os._exit(1)
