"""Forgotten records in; every place where copies of them remain, and what would remove them, out."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from flows import data_log, objects, run_commits
from flows.ingest import Say
from flows.objects import Objects
from tasks import forgotten, records, sources, tables
from tasks.forgotten import Forgotten


@dataclass(frozen=True)
class Copies:
    """Where the records still are."""

    versions: dict[str, int]  # data versions of the past that hold them, with how many rows
    unknown: list[str]  # data versions that are not at hand
    run_commits: list[str]  # refs that keep these versions
    models: list[str]  # made from these versions
    predictions: list[str]  # models whose evaluation quotes them
    originals: list[str]  # sources that they came from

    def lines(self) -> list[str]:
        """For people: each place, and what removes the copy there."""
        told = []
        if self.versions:
            named = ", ".join(f"{version[:8]} ({rows} rows)" for version, rows in self.versions.items())
            told.append(
                f"older data versions, in the DVC cache and wherever they were pushed: {named}; and what stages made of them in build/"
            )
            told.append(
                "  `stemma run` replaces build/; `stemma gc` frees the objects once no tip of a branch, tag, run commit or model names them"
            )
        if self.run_commits:
            told.append(f"run commits that keep those versions: {', '.join(self.run_commits)}")
            told.append("  `git update-ref -d REF` for each, here and in every clone that has them, then `stemma gc`")
        if self.models:
            told.append(f"models made from those versions, which may have them by heart: {', '.join(self.models)}")
            told.append("  `stemma run` makes new ones; delete the old in MLflow, then `stemma gc`")
        if self.predictions:
            told.append(f"predictions in MLflow, which quote test rows: those of {', '.join(self.predictions)}")
            told.append("  delete the runs and versions in MLflow, then `mlflow gc`")
        if self.originals:
            told.append(f"what was ingested: {', '.join(self.originals)}")
            told.append("  delete the file if you can do without it; as long as it is there it is read past these records")
        if self.unknown:
            told.append(f"not searched, not at hand: {', '.join(version[:8] for version in self.unknown)}; `stemma pull` fetches them")
        return told


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
                if name.endswith(".parquet") and target != "pretrained":
                    if (md5, target) not in searched:
                        searched[md5, target] = _search(store, md5, target, asked)
                    held[version.hash][name] += searched[md5, target][0]
                    found |= searched[md5, target][1]
    holding = {version: rows for version, rows in held.items() if rows.total()}
    places = {name for rows in holding.values() for name, count in rows.items() if count}
    targets = {name.partition("/")[0] for name in places}
    known = [one for one in records.versions(root) if one.tags.get("stemma.data_version") in holding]
    return len(found), Copies(
        versions={version: rows.total() for version, rows in holding.items()},
        unknown=unknown,
        run_commits=[one.ref for one in run_commits.listed(root) if one.data_version in holding],
        models=[f"{one.name}/{one.version}" for one in known if targets & {"corpus", one.name}],
        predictions=[f"{one.name}/{one.version}" for one in known if f"{one.name}/test.parquet" in places],
        originals=_originals(root, targets),
    )


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


def _originals(root: Path, targets: set[str]) -> list[str]:
    """The sources of these targets that have files, and where those lie on this machine."""
    listed = sources.read(root / "sources.yaml")
    told = []
    for name, source in listed.sources.items():
        sha256 = listed.archives[source.archive].sha256 if source.archive else source.sha256
        if source.target in targets and (sha256 or source.path):
            told.append(f"{name} ({source.path or f'.stemma/downloads/{str(sha256)[:8]}...'})")
    return told
