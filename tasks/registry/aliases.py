"""Which version of a model is in use, and who said so when and why: each move of an alias is a tag of the registered model."""

import getpass
import json
import subprocess
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks import tracking
from tasks.registry import records
from tasks.registry.records import Version
from tasks.registry.served import Served

GIVEN = ("champion", "challenger")  # by the gate; another that somebody has set stays where it is
TAG = "stemma.move."  # and the time, so that their names are in order


@dataclass(frozen=True)
class Move:
    """An alias that went from one version to another; None: it was not there, or is taken away."""

    time: str  # UTC, ISO 8601
    who: str
    alias: str
    before: int | None
    after: int | None
    why: str

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def registry(root: Path, server: str | None = None) -> Any:
    """What moves aliases: the server of `stemma up` at this address where it shows this machine's registry, else MLflow's client.

    Raises:
        TrackingError: the registry does not answer.
    """
    return Served(root, server) if server and tracking.database(root) else tracking.connect(root)


def move(root: Path, name: str, alias: str, version: int | None, why: str, client: Any = None) -> bool:
    """Let an alias of the model `name` point at a version, or at none, and record it; False if it does already.

    Recorded first: whoever is killed in between does both again, and the record is written once.

    Raises:
        TrackingError: the registry does not answer.
    """
    client = client or registry(root)
    with nullcontext() if isinstance(client, Served) else tracking.explained(root):
        model = client.get_registered_model(name)
        before = model.aliases.get(alias)
        before = None if before is None else int(before)
        if before == version:
            return False
        now = datetime.now(UTC)
        made = Move(now.isoformat(timespec="seconds"), _who(root), alias, before, version, why)
        last = next((known for known in reversed(_moves(model.tags)) if known.alias == alias), None)
        if last is None or (last.before, last.after, last.why) != (before, version, why):
            client.set_registered_model_tag(name, f"{TAG}{now:%Y%m%dT%H%M%S.%fZ}", json.dumps(asdict(made), ensure_ascii=False))
        if version is None:
            client.delete_registered_model_alias(name, alias)
        else:
            client.set_registered_model_alias(name, alias, str(version))
    return True


def history(root: Path, name: str) -> list[Move]:
    """The recorded moves of a model's aliases, the oldest first.

    Raises:
        TrackingError: the registry does not answer.
    """
    return _moves(records.model_tags(root, name))


def when_registered(root: Path, version: Version) -> dict[str, int]:
    """Where the aliases of a model pointed once `version` had been registered, as far as it is recorded."""
    moves = history(root, version.name)
    first = next((place for place, made in enumerate(moves, 1) if made.after == version.version), 0)
    if not first:  # of a time when moves were not recorded
        champion = json.loads(version.tags["stemma.evidence"])["champion"]
        return ({"champion": champion} if champion else {}) | {version.tags["stemma.alias"]: version.version}
    aliases: dict[str, int] = {}
    for made in moves[:first]:
        aliases.pop(made.alias, None)
        if made.after is not None:
            aliases[made.alias] = made.after
    return aliases


def _moves(tags: Mapping[str, str]) -> list[Move]:
    return [Move(**json.loads(value)) for name, value in sorted(tags.items()) if name.startswith(TAG)]


def _who(root: Path) -> str:
    """As git calls this person, else the name of the account."""
    known = subprocess.run(["git", "var", "GIT_COMMITTER_IDENT"], cwd=root, capture_output=True, text=True, check=False)
    if known.returncode == 0:
        return known.stdout.rpartition(">")[0] + ">"
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name
        return "unknown"
