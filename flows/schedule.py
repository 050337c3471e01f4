"""When the lifecycle runs by itself: kept in `.stemma/schedule.json`, and given to the Prefect server as a deployment's schedule."""

import asyncio
import hashlib
import json
import os
import re
import socket
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flows import prefect_server
from model.errors import UserError

if TYPE_CHECKING:
    from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
EXAMPLE = '`stemma schedule "0 2 * * *"` or `stemma schedule --every 6h`'


def schedule(root: Path, cron: str | None = None, every: str | None = None, timezone: str | None = None, remove: bool = False) -> str:
    """Set or remove the schedule, here and on the server; says when it runs first.

    Raises:
        UserError: the time cannot be read, or there is no server to keep it.
    """
    if sum(map(bool, (cron, every, remove))) != 1:
        raise UserError(f"schedule: give a cron line, --every or --remove, one of them; such as {EXAMPLE}")
    content = None if remove else _content(cron, every, timezone)
    first = _first(content) if content else None
    url = prefect_server.named(root)
    if url is None:
        raise UserError("schedule: there is no server to keep it; run `stemma up` first, or set PREFECT_API_URL")
    _save(root, content)

    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows import deployment, services

    with temporary_settings({PREFECT_API_URL: url}):
        asyncio.run(deployment.deploy(root, deployment_name(root)))
    if first is None:
        return "not scheduled any more"
    waits = "" if services.runner_is_running(root) else ", and starts when `stemma up` has started the runner"
    return f"scheduled; the first run is due at {first:%Y-%m-%d %H:%M:%S %Z}{waits}"


def describe(root: Path) -> dict[str, Any] | None:
    """The schedule as it was given, or None."""
    content = read(root)
    return content and {key: content[key] for key in ("cron", "every", "timezone") if content.get(key)}


def read(root: Path) -> dict[str, Any] | None:
    file = root / ".stemma" / "schedule.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def deployment_name(root: Path) -> str:
    """As the server knows it; one for each copy of the project where several may report to one server."""
    here = f"{socket.gethostname()}:{root.resolve()}"
    return f"stemma-{hashlib.sha256(here.encode()).hexdigest()[:8]}" if "PREFECT_API_URL" in os.environ else "stemma"


def as_prefect(content: dict[str, Any]) -> "CronSchedule | IntervalSchedule":
    """A schedule as Prefect has it."""
    from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule

    if content["cron"]:
        return CronSchedule(cron=content["cron"], timezone=content["timezone"])
    anchor = datetime.fromisoformat(content["anchor"])
    return IntervalSchedule(interval=_interval(content["every"]), anchor_date=anchor, timezone=content["timezone"])


def next_runs(root: Path, url: str, limit: int = 3) -> list[str]:
    """The times of the next runs, as the server has them; none where it does not answer."""
    wanted = {
        "sort": "EXPECTED_START_TIME_ASC",
        "limit": limit,
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}, "expected_start_time": {"after_": datetime.now(UTC).isoformat()}},
        "deployments": {"name": {"any_": [deployment_name(root)]}},
    }
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url.rstrip('/')}/flow_runs/filter", json.dumps(wanted).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return [run["expected_start_time"] for run in json.load(response)]
    except (URLError, OSError):
        return []


def _content(cron: str | None, every: str | None, timezone: str | None) -> dict[str, Any]:
    if every:
        _interval(every)
    if cron and len(cron.split()) != 5 and not cron.startswith("@"):
        raise UserError(f"{cron}: not a cron line, which has 5 fields; such as {EXAMPLE}")
    zone = timezone or _local_zone()
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise UserError(f"--timezone {zone}: no such time zone; write it like Europe/Berlin or UTC") from None
    return {"cron": cron, "every": every, "timezone": zone, "anchor": datetime.now(UTC).isoformat()}


def _interval(every: str) -> timedelta:
    found = re.fullmatch(r"([1-9]\d{0,5})([smhd])", every)
    if not found:
        raise UserError(f"--every {every}: not an interval; write a number and s, m, h or d, such as 15s or 6h")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def _local_zone() -> str:
    """The zone this machine's clock is set to, by name; UTC where it has none."""
    link = Path("/etc/localtime").resolve()
    return os.environ.get("TZ") or str(link).rpartition("/zoneinfo/")[2] or "UTC"


def _first(content: dict[str, Any]) -> datetime:
    from prefect.server.schemas import schedules

    kind = schedules.CronSchedule if content["cron"] else schedules.IntervalSchedule
    try:
        found = asyncio.run(kind(**as_prefect(content).model_dump()).get_dates(1))
    except ValueError as error:
        reason = "it names no date that ever comes" if "next date" in str(error) else "not a cron line"
        raise UserError(f"{content['cron']}: {reason}; such as {EXAMPLE}") from None
    return found[0]


def _save(root: Path, content: dict[str, Any] | None) -> None:
    file = root / ".stemma" / "schedule.json"
    if content is None:
        file.unlink(missing_ok=True)
        return
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    partial.replace(file)
