"""`stemma doctor`: what a killed process, a full disk or another tool has left, found and mended, or explained."""

from pathlib import Path

from filelock import FileLock, Timeout

from flows import workspace
from flows.repair import leftovers, mending, unended
from flows.repair.ailments import Ailment, Check

QUICK: list[Check] = [
    leftovers.processes_left,
    leftovers.locks,
    leftovers.partial_files,
    leftovers.ingest_left,
    leftovers.unsealed_checkpoints,
    unended.mlflow_here,
]
AT_REST: list[Check] = [
    *QUICK,
    leftovers.rollback_unfinished,
    leftovers.damaged_checkpoints,
    leftovers.checkouts_left,
    unended.mlflow,
    unended.prefect,
]
ALWAYS: list[Check] = [leftovers.services_ended, mending.objects_of_versions]


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


def quick(root: Path) -> list[Ailment]:
    """What takes no time to look for, before a lifecycle; the caller holds the lifecycle lock."""
    return [ailment for check in QUICK for ailment in check(root)]
