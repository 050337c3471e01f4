"""What differs between two data versions, part by part; nothing is checked out."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from flows.data import parts as data_parts
from flows.data import versions as data_versions
from flows.data.parts import Part
from flows.history import objects, references
from flows.history.objects import Objects
from model import applications
from model.errors import UserError
from tasks import row_changes
from tasks.row_changes import Changes

EMPTY = Part("", 0, 0, {})
SHORTEST = 6  # characters of a hash that name it
WIDTH = 80  # of a value in a sample, in characters


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

    def row(self) -> list[str]:
        """For people: name, rows, added, removed, changed, bytes, characters, languages and labels."""
        size = _arrow(f"{self.before.size:,}", f"{self.after.size:,}")
        if self.changes is None:
            return [self.name, "", "", "", "", size, "", ""]
        old, new = self.changes.before, self.changes.after
        numbers = [f"{number:,}" for number in (self.changes.added, self.changes.removed, self.changes.changed)]
        known = [(name, value) for name, counts in (old + new).values.items() for value in sorted(counts)]
        values = [f"{value}: {_arrow(f'{old.count(name, value):,}', f'{new.count(name, value):,}')}" for name, value in known]
        characters = _arrow(f"{old.characters:,}", f"{new.characters:,}")
        return [self.name, _arrow(f"{old.rows:,}", f"{new.rows:,}"), *numbers, size, characters, "\n".join(values)]


@dataclass(frozen=True)
class DataDiff:
    """Two data versions, and every part that one of them has."""

    before: str
    after: str
    parts: list[PartDiff]

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {"before": self.before, "after": self.after, "parts": [part.to_json() for part in self.parts]}

    def table(self) -> list[list[str]]:
        """For people: a row for each part that is not the same."""
        return [part.row() for part in self.parts if not part.same]

    def shown_samples(self) -> list[str]:
        """For people: a line for each sample."""
        return [line for part in self.parts if part.changes for line in _lines(part.name, part.changes)]


def data_diff(root: Path, before: str, after: str, num_samples: int = 3) -> DataDiff:
    """Compare two data versions, from the cache or a DVC remote.

    Raises:
        UserError: a reference names no version, or its objects are nowhere.
    """
    first, second = _hash(root, before), _hash(root, after)
    with data_parts.looking(root) as parts_of, objects.opened(root) as store:
        old, new = _parts(first, parts_of(first)), _parts(second, parts_of(second))
        parts = [_compared(store, name, old.get(name, EMPTY), new.get(name, EMPTY), num_samples) for name in sorted({*old, *new})]
    return DataDiff(first, second, parts)


def _hash(root: Path, text: str) -> str:
    """The data version that `text` names; the one in use may not be in any commit yet."""
    used = data_versions.in_use(root)
    if used and len(text) >= SHORTEST and used.hash.startswith(text):
        return used.hash
    found = references.resolve(root, text)
    if found.data_version is None:
        raise UserError(f"{text}: {found} has no data version; `stemma data log` lists those that there are")
    return found.data_version


def _parts(version: str, parts: list[Part] | None) -> Mapping[str, Part]:
    if parts is None:
        raise UserError(f"{version}: objects of this data version are neither in the DVC cache nor in a remote; `stemma pull` fetches them")
    return {part.name: part for part in parts}


def _compared(store: Objects, name: str, before: Part, after: Part, num_samples: int) -> PartDiff:
    if before.files == after.files or None in (before.rows, after.rows):
        return PartDiff(name, before, after, None)
    application = name.partition("/")[0]
    key = applications.load(application).split_key if application in applications.names() else None
    old, new = ([(md5, partial(_open, store, md5)) for md5 in part.files.values()] for part in (before, after))
    return PartDiff(name, before, after, row_changes.compare(old, new, key, num_samples))


def _open(store: Objects, md5: str) -> BinaryIO:
    opened = store.open(md5)
    if opened is None:
        raise UserError(f"{md5}: this object is neither in the DVC cache nor in a remote; `stemma pull` fetches it")
    return opened


def _arrow(before: str, after: str) -> str:
    return before if before == after else f"{before} -> {after}"


def _lines(name: str, changes: Changes) -> Iterator[str]:
    signs = {"added": "+", "removed": "-"}
    for kind, sign in signs.items():
        yield from (f"{name} {sign} {_short(row)}" for row in changes.samples[kind])
    for before, after in changes.samples["changed"]:
        other = [column for column in {**before, **after} if before.get(column) != after.get(column)]
        yield f"{name} ~ {_short(before)}"
        yield f"{' ' * len(name)} > {_short({column: after.get(column) for column in other})}"


def _short(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {json.dumps(value, ensure_ascii=False)[:WIDTH]}" for name, value in row.items())
