"""What `stemma doctor` has to say about one thing that is not in order."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Ailment:
    """Something that was not in order; `todo` is empty where it has been mended."""

    what: str
    found: str
    done: str = ""
    todo: str = ""

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.what}: {self.found}; {self.done or self.todo}"


Check = Callable[[Path], Iterator[Ailment]]  # mends what it can; whoever calls it holds the right to run the lifecycle
