"""What a person sees while a lifecycle runs: bars on a terminal, lines elsewhere; all of it on stderr."""

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from flows.stages import StageResult

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

REFRESH = 0.5  # seconds between two looks at how far the stages are


class Display:
    """Told by the lifecycle from several threads; reads how far a stage is from the file that the stage writes."""

    def __init__(self, root: Path) -> None:
        self._folder = root / ".stemma" / "progress"
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bars: dict[str, TaskID] = {}
        self._progress: Progress | None = None
        self._closed = threading.Event()

    def __enter__(self) -> "Display":
        if self._console.is_terminal:
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
            self._progress = Progress(*columns, console=self._console, transient=True)
            self._progress.start()
            threading.Thread(target=self._follow, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed.set()
        if self._progress:
            self._progress.stop()

    def says(self, text: str) -> None:
        """A line about the lifecycle as a whole."""
        self._console.print(text, markup=False)

    def begins(self, name: str, reasons: list[str]) -> Path:
        """A stage starts to run; the file it may write `{"done", "total"}` to."""
        file = self._folder / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        self.says(f"{name}: running, {'; '.join(reasons)}")
        if self._progress:
            self._bars[name] = self._progress.add_task(name, total=None)
        return file

    def ends(self, result: StageResult) -> None:
        """A stage has been dealt with."""
        self.leaves(result.name)
        if result.outcome == "failed":
            self.says("; ".join(result.reasons))
        elif result.outcome != "unchanged":
            why = f", {'; '.join(result.reasons)}" if result.outcome != "ran" else ""
            self.says(f"{result.name}: {result.outcome}{why} ({result.seconds:.1f} s)")

    def leaves(self, name: str) -> None:
        """Take its bar away."""
        if self._progress and name in self._bars:
            self._progress.remove_task(self._bars.pop(name))

    def _follow(self) -> None:
        while not self._closed.wait(REFRESH):
            for name, bar in list(self._bars.items()):
                file = self._folder / f"{name}.json"
                if self._progress and file.exists():
                    far = json.loads(file.read_text(encoding="utf-8"))
                    self._progress.update(bar, completed=far["done"], total=far["total"])
