"""What takes no time to look for, so that every lifecycle and rollback begins with it."""

from pathlib import Path

from flows.repair import leftovers, unended
from flows.repair.ailments import Ailment, Check

CHECKS: list[Check] = [
    leftovers.damaged_memories,
    leftovers.processes_left,
    leftovers.locks,
    leftovers.partial_files,
    leftovers.ingest_left,
    leftovers.unsealed_checkpoints,
    unended.mlflow_here,
]


def look(root: Path) -> list[Ailment]:
    """What was not in order; the caller holds the lifecycle lock."""
    return [ailment for check in CHECKS for ailment in check(root)]
