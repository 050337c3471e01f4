"""`stemma doctor`: what a killed process, a full disk or another tool has left, found and mended, or explained."""

from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from flows import graph, workspace
from flows.history import rollback
from flows.repair import leftovers, mending, quick, unended
from flows.repair.ailments import Ailment, Check
from model.errors import UserError


def doctor(root: Path) -> list[Ailment]:
    """Everything that can be found out, with the bytes of all that registered versions need; what a running lifecycle holds is left alone.

    Raises:
        UserError: the project is no git or DVC repository.
    """
    workspace.check(root)
    file = root / ".stemma" / "locks" / "lifecycle"
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(file, blocking=False):
            return [ailment for check in [*AT_REST, *ALWAYS] for ailment in check(root)]
    except Timeout:
        busy = Ailment("lifecycle", "one is at work", todo="run `stemma doctor` again when it has ended")
        return [busy, *(ailment for check in ALWAYS for ailment in check(root))]


def _rollback_unfinished(root: Path) -> Iterator[Ailment]:
    """A rollback that was killed while it changed files: its journal says what is left to do."""
    if (root / rollback.JOURNAL).exists():
        said: list[str] = []
        rollback.carry_on(root, said.append)
        yield Ailment("rollback", "one was killed half-way", "; ".join(said))


def _data_of_another_version(root: Path) -> Iterator[Ailment]:
    """Files that a killed ingest has left, or that somebody deleted; a run would see to it too."""
    if not (root / "data").exists():  # a clone that has taken nothing in yet
        return
    try:
        with graph.changing(root) as repo:
            for path in graph.check_sources(repo, checkout=True):
                yield Ailment(Path(path).name, "not what its .dvc file says", "checked out of the DVC cache")
    except UserError as error:
        found, _, todo = str(error).partition("; ")
        yield Ailment("data", found.removeprefix("data: "), todo=todo)


AT_REST: list[Check] = [
    *quick.CHECKS,
    _rollback_unfinished,
    _data_of_another_version,
    leftovers.damaged_checkpoints,
    leftovers.checkouts_left,
    unended.mlflow,
    unended.prefect,
]
ALWAYS: list[Check] = [leftovers.services_ended, mending.objects_of_versions]
