"""What `stemma up` has started, as `.stemma/services.json` records it."""

import json
from pathlib import Path
from typing import Any

from flows import atomic, documents, processes

Record = dict[str, Any]  # pid, started (the time of that process), url


def read(root: Path) -> dict[str, Record]:
    """Every recorded service by name, whatever became of it."""
    file = root / ".stemma" / "services.json"
    return documents.remembered(file) if file.is_file() else {}


def write(root: Path, records: dict[str, Record]) -> None:
    """Replace the record."""
    atomic.write(root, root / ".stemma" / "services.json", json.dumps(records, indent=2, sort_keys=True) + "\n")


def running(root: Path) -> dict[str, Record]:
    """What is recorded and whose own process lives, not only some below it."""
    return {name: record for name, record in read(root).items() if processes.members(record) == [record["pid"]]}


def mlflow_url(root: Path) -> str | None:
    """The UI that `up` has started, if it is running."""
    return running(root).get("mlflow", {}).get("url")


def prefect_url(root: Path) -> str | None:
    """The API of the server that `up` has started, if it is running."""
    page = running(root).get("prefect", {}).get("url")
    return f"{page}/api" if page else None


def runner_is_running(root: Path) -> bool:
    """Whether somebody starts what is scheduled."""
    return "runner" in running(root)
