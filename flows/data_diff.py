"""What differs between two data versions, part by part; nothing is checked out."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from flows import data_log, data_parts, objects
from flows.data_parts import Part
from flows.objects import Objects
from model import applications
from model.errors import UserError
from tasks import row_changes
from tasks.row_changes import Changes

EMPTY = Part("", 0, 0, {})


@dataclass(frozen=True)
class PartDiff:
    """A part before and after; `changes` is None where it is the same or no table."""

    name: str
    before: Part
    after: Part
    changes: Changes | None

    @property
    def same(self) -> bool:
        return self.before.files == self.after.files

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        told: dict[str, Any] = {"name": self.name, "same": self.same}
        for side, part in (("before", self.before), ("after", self.after)):
            told[side] = {"rows": part.rows, "bytes": part.size}
            if self.changes:
                told[side] |= {"characters": getattr(self.changes, side).characters, "values": getattr(self.changes, side).values}
        if self.changes:
            told |= {name: getattr(self.changes, name) for name in ("added", "removed", "changed", "samples")}
        return told


@dataclass(frozen=True)
class DataDiff:
    """Two data versions, and every part that one of them has."""

    before: str
    after: str
    parts: list[PartDiff]

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {"before": self.before, "after": self.after, "parts": [part.to_json() for part in self.parts]}


def data_diff(root: Path, before: str, after: str, num_samples: int = 3) -> DataDiff:
    """Compare two data versions, from the cache or a DVC remote.

    Raises:
        UserError: there is no such version, or its objects are nowhere.
    """
    hashes = [data_log.find(root, text) for text in (before, after)]
    with data_parts.looking(root) as parts_of, objects.opened(root) as store:
        found = [_parts(version, parts_of(version)) for version in hashes]
        names = sorted({*found[0], *found[1]})
        parts = [_compared(store, name, found[0].get(name, EMPTY), found[1].get(name, EMPTY), num_samples) for name in names]
    return DataDiff(*hashes, parts)


def _parts(version: str, parts: list[Part] | None) -> Mapping[str, Part]:
    if parts is None:
        raise UserError(f"{version}: objects of this data version are neither in the DVC cache nor in a remote; `stemma pull` fetches them")
    return {part.name: part for part in parts}


def _compared(store: Objects, name: str, before: Part, after: Part, num_samples: int) -> PartDiff:
    if before.files == after.files or None in (before.rows, after.rows):
        return PartDiff(name, before, after, None)
    application = name.partition("/")[0]
    key = applications.load(application).split_key if application in applications.names() else None
    files = [[(md5, partial(_open, store, md5)) for md5 in part.files.values()] for part in (before, after)]
    return PartDiff(name, before, after, row_changes.compare(*files, key, num_samples))


def _open(store: Objects, md5: str) -> BinaryIO:
    opened = store.open(md5)
    if opened is None:
        raise UserError(f"{md5}: this object is neither in the DVC cache nor in a remote; `stemma pull` fetches it")
    return opened
