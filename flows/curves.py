"""The curves of a stage while it runs: what it appends to a file is in MLflow a moment later, and the stage itself needs no MLflow."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from tasks.tracking import StageRun, Unfinished

LOOK = 1.0  # seconds between two looks into the file


class Follower:
    """Reads the points of one stage in a thread of its own, since a tracking server may take its time."""

    def __init__(self, file: Path, open_run: Callable[[], StageRun | None]) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
        self._file, self._open_run = file, open_run
        self._status: Unfinished | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=file.stem, daemon=True)
        self._thread.start()

    def close(self, status: Unfinished | None) -> None:
        """Send the rest; then end the run with `status`, or leave it to be completed from the outputs if None."""
        self._status = status
        self._over.set()
        self._thread.join()

    def _follow(self) -> None:
        run = self._open_run()
        if run is None:
            return
        with self._file.open(encoding="utf-8") as lines:
            over = False
            while not over:
                over = self._over.wait(LOOK)
                for point in points(lines):
                    run.log(point.pop("step"), point)
        run.end(self._status) if self._status else run.flush()


def points(lines: IO[str]) -> Iterator[dict[str, Any]]:
    """Those that are written to the end of their line."""
    while True:
        place = lines.tell()
        line = lines.readline()
        if not line.endswith("\n"):
            lines.seek(place)
            return
        yield json.loads(line)
