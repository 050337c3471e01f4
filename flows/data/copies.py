"""Forgotten records in; every place where copies of them remain, and what would remove them, out."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.data import log as data_log
from flows.data.ingest import ORIGIN, Say
from flows.history import objects, run_commits
from flows.history.objects import Objects
from tasks import tables
from tasks.intake import forgotten
from tasks.intake.forgotten import Forgotten
from tasks.registry import records


@dataclass(frozen=True)
class Copies:
    """Where the records still are."""

    versions: dict[str, int]  # data versions of the past that hold them, with how many rows
    unknown: list[str]  # data versions that are not at hand
    run_commits: list[str]  # refs that keep these versions
    models: list[str]  # made from these versions
    predictions: list[str]  # models whose evaluation quotes them
    originals: list[str]  # sources that they came from
    perhaps: list[str]  # sources of an application, whose rows do not say which of these they came from

    def lines(self) -> list[str]:
        """For people: each place, and what removes the copy there."""
        rows = [f"{version[:8]} ({count} rows)" for version, count in self.versions.items()]
        prepared = ["build/ and the cache of stage outputs"] if rows else []
        unknown = [version[:8] for version in self.unknown]
        places = [
            (
                "data versions in the DVC cache and wherever they were pushed",
                rows,
                "`stemma gc`, once no commit or model needs them",
            ),
            ("what stages made of those", prepared, "`stemma run`, then `stemma gc`"),
            ("run commits that keep those", self.run_commits, "`git update-ref -d REF` for each, in every clone, then `stemma gc`"),
            ("models made from those, which may know it by heart", self.models, "`stemma run`, delete these in MLflow, then `stemma gc`"),
            ("predictions in MLflow that quote test rows", self.predictions, "delete these runs and versions, then `mlflow gc`"),
            ("what was ingested", self.originals, "delete it if you can do without; else it is read past the record"),
            ("perhaps one or more of what was ingested", self.perhaps, "look into each; delete what holds it if you can do without"),
            ("perhaps data versions that are not at hand", unknown, "`stemma pull`, and ask again"),
        ]
        return [f"{place}: {', '.join(names)}\n    remove: {remedy}" for place, names, remedy in places if names]


def remaining(root: Path, asked: Forgotten, say: Say) -> tuple[int, Copies]:
    """How many of the records are in some data version, and where they are. Every object is searched once."""
    found: set[str] = set()
    held: dict[str, Counter[str]] = {}  # rows by target, in each version
    unknown = []
    searched: dict[tuple[str, str], tuple[int, set[str]]] = {}
    with objects.opened(root) as store:
        for version in data_log.history(root):
            listing = store.listing(version.hash)
            if listing is None:
                unknown.append(version.hash)
                continue
            say(f"looking into data version {version.hash[:8]}")
            held[version.hash] = Counter()
            for name, md5 in listing.items():
                target = name.partition("/")[0]
                if _is_searched(name):
                    if (md5, target) not in searched:
                        searched[md5, target] = _search(store, md5, target, asked)
                    held[version.hash][name] += searched[md5, target][0]
                    found |= searched[md5, target][1]
    holding = {version: rows for version, rows in held.items() if rows.total()}
    places = {name for rows in holding.values() for name, count in rows.items() if count}
    targets = {name.partition("/")[0] for name in places}
    originals, perhaps = _originals(root, holding)
    known = [one for one in records.versions(root) if one.tags.get("stemma.data_version") in holding]
    return len(found), Copies(
        versions={version: rows.total() for version, rows in holding.items()},
        unknown=unknown,
        run_commits=[one.ref for one in run_commits.listed(root) if one.data_version in holding],
        models=[f"{one.name}/{one.version}" for one in known if targets & {"corpus", one.name}],
        predictions=[f"{one.name}/{one.version}" for one in known if f"{one.name}/test.parquet" in places],
        originals=originals,
        perhaps=perhaps,
    )


def rows_to_forget(root: Path, version: str) -> int:
    """How many rows of a data version forgotten.txt lists; none where the version was made past the whole list."""
    asked = forgotten.read(root)
    if not asked.hashes:
        return 0
    with objects.opened(root) as store:
        listing = store.listing(version) or {}
        if asked.hashes <= set(_origin(store, listing).get("forgotten", ())):
            return 0
        return sum(_search(store, md5, name.partition("/")[0], asked)[0] for name, md5 in listing.items() if _is_searched(name))


def _is_searched(name: str) -> bool:
    return name.endswith(".parquet") and not name.startswith("pretrained/")


def _search(store: Objects, md5: str, target: str, asked: Forgotten) -> tuple[int, set[str]]:
    """How many rows of an object are to be forgotten, and by which hashes."""
    import pyarrow.parquet as pq

    opened = store.open(md5)
    if opened is None:
        return 0, set()
    count = 0
    found: set[str] = set()
    with opened, pq.ParquetFile(opened) as file:
        for batch in file.iter_batches(batch_size=tables.ROWS):
            for row in batch.to_pylist():
                if matched := asked.hashes & set(forgotten.hashes_of(row, target)):
                    count += 1
                    found |= matched
    return count, found


def origin(root: Path, version: str) -> dict[str, Any]:
    """What a data version was made from, by its hash; nothing if it does not say, or is not at hand."""
    with objects.opened(root) as store:
        return _origin(store, store.listing(version) or {})


def _origin(store: Objects, listing: Mapping[str, str]) -> dict[str, Any]:
    """What a data version was made from; nothing if it does not say."""
    opened = store.open(listing.get(ORIGIN, "none"))
    if opened is None:
        return {}
    with opened:
        origin: dict[str, Any] = json.load(opened)
    return origin


def _originals(root: Path, holding: Mapping[str, Mapping[str, int]]) -> tuple[list[str], list[str]]:
    """The sources that rows of these versions' files came from, and those that they may have come from, each with where it lies."""
    certain: set[str] = set()
    perhaps: set[str] = set()
    with objects.opened(root) as store:
        for version, rows in holding.items():
            recorded = _origin(store, store.listing(version) or {}).get("sources", {})
            for file in (file for file, count in rows.items() if count):
                given = [name for name, entry in recorded.items() if _gave(name, entry["target"], file)]
                places = {f"{name} ({place})" for name in given if (place := _place(recorded[name]))}
                (certain if len(given) == 1 else perhaps).update(places)
    return sorted(certain), sorted(perhaps - certain)


def _gave(name: str, target: str, file: str) -> bool:
    """Whether rows of a source are in a file: of the corpus each has files of its own."""
    if target == "corpus":
        return bool(re.fullmatch(rf"corpus/{re.escape(name)}(-\d{{5}})?\.parquet", file))
    return file.startswith(f"{target}/")


def _place(entry: Mapping[str, Any]) -> str | None:
    """Where the files of a source lie on this machine, if it has any."""
    sha256 = (entry["archive"] or entry).get("sha256")
    return entry["path"] or (f".stemma/downloads/{sha256[:8]}..." if sha256 else None)
