"""When the lifecycle runs by itself: what `.stemma/schedule.json` says."""

import asyncio
import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from flows import atomic, documents
from model.errors import UserError

if TYPE_CHECKING:
    from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule

LOCALTIME = Path("/etc/localtime")  # a link into the time zones, by their names
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
EXAMPLE = '`stemma schedule "0 2 * * *"` or `stemma schedule --every 6h`'

Timetable = dict[str, Any]  # cron or every, timezone, and the anchor that intervals count from


def read(root: Path) -> Timetable | None:
    """The timetable of a project, if it has one."""
    file = root / ".stemma" / "schedule.json"
    return documents.remembered(file) if file.is_file() else None


def as_prefect(content: Timetable) -> "CronSchedule | IntervalSchedule":
    """A schedule as Prefect has it."""
    from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule

    if content["cron"]:
        return CronSchedule(cron=content["cron"], timezone=content["timezone"])
    anchor = datetime.fromisoformat(content["anchor"])
    return IntervalSchedule(interval=_interval(content["every"]), anchor_date=anchor, timezone=content["timezone"])


def build(cron: str | None, every: str | None, timezone: str | None) -> Timetable:
    """What was asked for, from now on, in this machine's time zone if none is named.

    Raises:
        UserError: it cannot be read.
    """
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
    _, _, linked = str(LOCALTIME.resolve()).partition("/zoneinfo/")
    return next((zone for zone in (os.environ.get("TZ"), linked) if zone in available_timezones()), "UTC")


def first(content: Timetable) -> datetime:
    """When it is due for the first time.

    Raises:
        UserError: it is no cron line, or never due.
    """
    from prefect.server.schemas import schedules

    kind = schedules.CronSchedule if content["cron"] else schedules.IntervalSchedule
    try:
        found = asyncio.run(kind(**as_prefect(content).model_dump()).get_dates(1))
    except ValueError as error:
        reason = "it names no date that ever comes" if "next date" in str(error) else "not a cron line"
        raise UserError(f"{content['cron']}: {reason}; such as {EXAMPLE}") from None
    return found[0]


def save(root: Path, content: Timetable | None) -> None:
    """Keep it, or nothing any more."""
    file = root / ".stemma" / "schedule.json"
    if content is None:
        file.unlink(missing_ok=True)
    else:
        atomic.write(root, file, json.dumps(content, indent=2, sort_keys=True) + "\n")
