"""`stemma schedule`: the timetable of a project, given to the Prefect server as a deployment's schedule."""

import asyncio
import hashlib
import json
import os
import socket
import urllib.request
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError

from flows.services import prefect_server, recorded, timetable
from flows.services.timetable import EXAMPLE
from model.errors import UserError

BAD = ("FAILED", "CRASHED")  # as Prefect has them


def schedule(root: Path, cron: str | None = None, every: str | None = None, timezone: str | None = None, remove: bool = False) -> str:
    """Set or remove the schedule, here and on the server; says when it runs first.

    Raises:
        UserError: the time cannot be read, or there is no server that keeps it.
    """
    if sum(map(bool, (cron, every, remove))) != 1:
        raise UserError(f"schedule: give a cron line, --every or --remove, one of them; such as {EXAMPLE}")
    content = None if remove else timetable.build(cron, every, timezone)
    first = timetable.first(content) if content else None
    url = prefect_server.named(root)
    if url is None:
        raise UserError("schedule: there is no server to keep it; run `stemma up` first, or set PREFECT_API_URL")

    import httpx
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.services import deployment

    with temporary_settings({PREFECT_API_URL: url}):
        try:
            asyncio.run(deployment.deploy(root, deployment_name(root), content))
        except httpx.HTTPError as error:
            raise UserError(f"schedule: the server at {url} does not take it ({' '.join(str(error).split())}); see its log") from None
    timetable.save(root, content)
    if first is None:
        return "not scheduled any more"
    waits = "" if recorded.runner_is_running(root) else ", and starts when `stemma up` has started the runner"
    return f"scheduled; the first run is due at {first:%Y-%m-%d %H:%M:%S %Z}{waits}"


def describe(root: Path) -> dict[str, Any] | None:
    """The schedule as it was given, or None."""
    content = timetable.read(root)
    return content and {key: content[key] for key in ("cron", "every", "timezone") if content.get(key)}


def deployment_name(root: Path) -> str:
    """As the server knows it; one for each copy of the project where several may report to one server."""
    here = f"{socket.gethostname()}:{root.resolve()}"
    return f"stemma-{hashlib.sha256(here.encode()).hexdigest()[:8]}" if "PREFECT_API_URL" in os.environ else "stemma"


def next_runs(root: Path, url: str, limit: int = 3) -> list[str]:
    """The times of the next runs, as the server has them; none where it does not answer."""
    coming = {"state": {"type": {"any_": ["SCHEDULED"]}}, "expected_start_time": {"after_": datetime.now(UTC).isoformat()}}
    return [run["expected_start_time"] for run in _runs(root, url, coming, "EXPECTED_START_TIME_ASC", limit)]


def last_run(root: Path, url: str) -> dict[str, Any] | None:
    """The last run that has ended: `time`, `state`, and `message`, one line on why, if it failed; None where the server has none."""
    ended = {"state": {"type": {"any_": ["COMPLETED", *BAD]}}}
    for run in _runs(root, url, ended, "EXPECTED_START_TIME_DESC", 1):
        why = " ".join((run["state"]["message"] or "").split()) if run["state"]["type"] in BAD else None
        return {"time": run["expected_start_time"], "state": run["state"]["name"], "message": why}
    return None


def _runs(root: Path, url: str, which: dict[str, Any], sort: str, limit: int) -> list[dict[str, Any]]:
    wanted = {"sort": sort, "limit": limit, "flow_runs": which, "deployments": {"name": {"any_": [deployment_name(root)]}}}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url.rstrip('/')}/flow_runs/filter", json.dumps(wanted).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return json.load(response)
    except (URLError, OSError, HTTPException):
        return []
