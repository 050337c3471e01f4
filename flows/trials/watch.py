"""A stage in a trial while it runs: its curve goes to MLflow, and ends the stage where it shows that it will come to nothing."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from flows.curves import Follower, points
from tasks.tracking import StageRun, Unfinished

LOOK = 0.2  # seconds between two looks into the file


class Watch:
    """Follows the file that a stage writes its curve to, from its first point, also where it goes on from a checkpoint."""

    def __init__(
        self,
        file: Path,
        loss: str,
        open_run: Callable[[str], StageRun | None],
        hopeless: Callable[[Mapping[int, float]], bool],
        end: Callable[[], None],
    ) -> None:
        """`open_run(key)`: its run in MLflow, if it is to have one; `hopeless(losses by step)`; `end`: ends the command."""
        self.losses: dict[int, float] = {}
        self.key: str | None = None  # once it runs
        self.stopped = False
        self._file, self._loss, self._open_run, self._hopeless, self._end = file, loss, open_run, hopeless, end
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._follower: Follower | None = None

    def begin(self, key: str) -> dict[str, str]:
        """The stage is about to run: what its command needs to tell of itself."""
        self.key = key
        self._follower = Follower(self._file, lambda: self._open_run(key))
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return {"STEMMA_KEY": key, "STEMMA_CURVE": str(self._file)}

    def close(self, status: Unfinished | None) -> None:
        """The stage is over; `status` is of one that did not come to its end."""
        self._over.set()
        if self._thread and self._follower:
            self._thread.join()
            self._follower.close(status)

    def _look(self) -> None:
        with self._file.open(encoding="utf-8") as lines:
            over = False
            while not over and not self.stopped:
                over = self._over.wait(LOOK)
                for point in points(lines):
                    if self._loss in point:
                        self.losses[point["step"]] = point[self._loss]
                        if not over and self._hopeless(self.losses):
                            self.stopped = True
                            self._end()
                            break
