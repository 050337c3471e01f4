"""What a study has come to: a file of JSON lines that only grows, so that whoever is killed loses the line being written at most."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from flows.trials.proposals import Ended
from model.errors import UserError

FOLDER = ".stemma/studies"


class Journal:
    """The proposals of a study by the number of the first in a batch, and its trials that are over by number."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.proposed: dict[int, list[dict[str, Any]]] = {}
        self.ended: dict[int, Ended] = {}
        self._file = folder / "journal.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        _drop_unfinished_line(self._file)
        for line in self._file.read_text(encoding="utf-8").splitlines():
            self._take(json.loads(line))

    def propose(self, first: int, values: Sequence[dict[str, Any]]) -> None:
        """Keep a batch of proposals, whose first has this number."""
        self._write({"first": first, "proposed": list(values)})

    def end(self, trial: Ended) -> None:
        """Keep a trial that is over."""
        self._write({"trial": trial.to_json()})

    def before(self, number: int) -> list[Ended]:
        """The trials below a number, in their order."""
        return [self.ended[one] for one in sorted(self.ended) if one < number]

    def _write(self, record: dict[str, Any]) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._take(json.loads(json.dumps(record)))  # as a later reader will have it

    def _take(self, record: dict[str, Any]) -> None:
        if "proposed" in record:
            self.proposed[record["first"]] = record["proposed"]
        else:
            trial = record["trial"] | {"points": {int(step): loss for step, loss in record["trial"]["points"].items()}}
            self.ended[trial["number"]] = Ended(**trial)


@contextmanager
def opened(root: Path, name: str, study: str) -> Iterator[Journal]:
    """The journal of a study, for one command at a time; `name` is for people.

    Raises:
        UserError: another command is at work on it.
    """
    lock = root / ".stemma" / "locks" / f"study-{study}"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, blocking=False):
            yield Journal(root / FOLDER / study)
    except Timeout:
        raise UserError(f"{name}: another `stemma tune` is at work on the same study; wait until it has ended") from None


def _drop_unfinished_line(file: Path) -> None:
    """Cut a file of lines, made if there is none, after its last whole line: whoever wrote the next may have been killed."""
    file.touch()
    content = file.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(file, whole)
