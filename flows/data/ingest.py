"""The sources of sources.yaml in; a new data version out, or nothing at all."""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version as installed
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import Annotated, Any

from annotated_types import Ge
from filelock import FileLock

from flows import atomic, documents, workspace
from flows.data import entering, labels, unpacking
from flows.data import versions as data_versions
from flows.data.building import Building, Rules, below, stands
from flows.data.versions import DataVersion
from model.errors import UserError
from model.params import STRICT, Positive, Share
from tasks import params, tables
from tasks.intake import forgotten, sources
from tasks.intake import rows as intake
from tasks.intake.forgotten import Forgotten
from tasks.intake.sources import Archive, Source, Sources

Say = Callable[[str], None]

ORIGIN = "sources.json"  # below data/: what it was made from; the stage prepare reads it
MADE = ".stemma/ingest.json"  # which data version this machine made, by which code
CODE = ("tasks/intake/*.py", "tasks/readers/*.py", "tasks/examples.py", "tasks/tables.py", "model/applications/*.py")
LATER = ("sha256", "uri", "lang")  # keys of a source that stand in ORIGIN only where they are given


@dataclass(frozen=True, kw_only=True)
class Params:
    """Section `ingest` of params.yaml."""

    __pydantic_config__ = STRICT

    validation_share: Share  # of an application's examples, by the hash of the split key
    test_share: Share
    max_refused_share: Share  # of a source's rows
    max_row_bytes: Positive
    max_unpacked_bytes: Positive
    max_unpacked_ratio: Annotated[float, Ge(1)]
    max_files: Positive  # in an archive
    max_nesting: Positive  # archives inside each other

    def rules(self) -> Rules:
        limits = unpacking.Limits(self.max_unpacked_bytes, self.max_unpacked_ratio, self.max_files, self.max_nesting)
        return Rules(self.validation_share, self.test_share, intake.Limits(self.max_refused_share, self.max_row_bytes), limits)


@dataclass(frozen=True)
class IngestReport:
    """What an ingest did."""

    version: DataVersion
    changed: bool  # False: there was nothing to do
    rows: dict[str, int] = field(default_factory=dict)  # by file below data/
    rows_before: dict[str, int] = field(default_factory=dict)
    taken: dict[str, intake.Taken] = field(default_factory=dict)  # by source that was read; refused rows are in .stemma/quarantine
    new_labels: labels.Labels = field(default_factory=dict)
    lone_labels: dict[str, str] = field(default_factory=dict)  # by application
    seconds: float = 0.0

    def summary(self, advice: str = "; commit data.dvc to keep it") -> str:
        """For people, several lines."""
        if not self.changed:
            return f"data version {self.version.hash}: nothing to do, data/ is what sources.yaml says"
        size = f"{self.version.num_files} files, {self.version.size / 1e6:.1f} MB, in {self.seconds:.0f} s{advice}"
        return "\n".join([f"data version {self.version.hash}: {size}", *self._changes(), *self._labels(), *self._refusals()])

    def _changes(self) -> Iterator[str]:
        for name in dict.fromkeys([*self.rows, *self.rows_before]):
            count, before = self.rows.get(name, 0), self.rows_before.get(name, 0)
            if not self.rows_before:
                yield f"  {name:<40}{count:>9,} rows"
            elif count != before:
                yield f"  {name:<40}{count:>9,} rows ({count - before:+,})"

    def _labels(self) -> Iterator[str]:
        yield from (f"  {labels.line(name, added)}" for name, added in self.new_labels.items())
        for name, label in self.lone_labels.items():
            yield f"  {name}: every row has the label {label:.40}, so there is nothing to tell apart; take in rows of another one"

    def _refusals(self) -> Iterator[str]:
        for name, taken in self.taken.items():
            if taken.forgotten:
                yield f"  {name}: {taken.forgotten:,} rows left out, forgotten.txt has them"
            if taken.refused or taken.left_out:
                files = f", {taken.left_out:,} files left out" if taken.left_out else ""
                yield f"  {name}: {taken.refused:,} rows refused{files}, see .stemma/quarantine/{name}.jsonl"
                yield from (f"    {count:,} times: {reason}" for reason, count in taken.reasons.items())


def ingest(root: Path, names: Sequence[str] = (), say: Say | None = None) -> IngestReport:
    """Make `data/` what sources.yaml says, optional sources only if `names` has them, and version it with DVC.

    The same sources and numbers give the same data version on any machine. Whatever goes wrong, or if it is killed, the old version stays.

    Raises:
        UserError: a source is wrong or cannot be had, too many of its rows are refused, or an application ends up without rows.
    """
    workspace.check(root)
    say = say or to_stderr
    with workplace(root, say) as work:
        listed = sources.read(root / "sources.yaml")
        return make(root, work, listed, sources.choose(listed, list(names)), say)


def make(
    root: Path,
    work: Path,
    listed: Sources,
    chosen: Mapping[str, Source],
    say: Say,
    *,
    before: Callable[[DataVersion], None] = lambda version: None,
    at_hand: Mapping[str, list[Path]] = MappingProxyType({}),
    gone: Forgotten | None = None,
    as_made: bool = False,
) -> IngestReport:
    """Make `data/` of the sources `chosen`, in a `workplace`.

    `before` is told the new version just before it is put into use; `at_hand` has the files of sources that were opened already; `gone` are
    the records to forget, if not those of forgotten.txt; `as_made` takes the rows of `data/` over even if readers have changed since.
    """
    began = perf_counter()
    numbers = numbers_of(root)
    gone = gone or forgotten.read(root)
    origin = _origin(root, listed, chosen, numbers, gone)
    version = checked_out(root, work, say)
    recorded = _standing(root) if version and (as_made or not _made_by_other_code(root, version)) else {}
    if version and recorded == origin:
        before(version)
        return IngestReport(version, changed=False)
    rows_before, labels_before = (num_rows(root / "data"), labels.of(root / "data")) if version else ({}, {})
    built = Building(root, work, listed.archives, numbers.rules(), at_hand, gone, say).build(chosen, _unchanged(recorded, origin))
    (work / "data" / ORIGIN).write_text(json.dumps(origin, ensure_ascii=False, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    with workspace.lock(root, say):
        version = data_versions.adopt(root, work / "data", before)
    _remember(root, version)
    now = labels.of(root / "data")
    new, lone = labels.new(labels_before, now), labels.lone(now)
    return IngestReport(version, True, built.rows, rows_before, built.taken, new, lone, perf_counter() - began)


def num_rows(data: Path, target: str = "*") -> dict[str, int]:
    """How many rows each file of a data version has."""
    files = (file for file in sorted(data.glob(f"{target}/*.parquet")) if file.parent.name != "pretrained")
    return {file.relative_to(data).as_posix(): tables.num_rows(file) for file in files}


def numbers_of(root: Path) -> Params:
    """Section `ingest` of params.yaml."""
    return params.build(Params, params.select(params.read(root / "params.yaml"), "ingest"), "ingest")


def recorded_origin(root: Path) -> dict[str, Any]:
    """What `data/` says it was made from; nothing if it does not say."""
    file = root / "data" / ORIGIN
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def _standing(root: Path) -> dict[str, Any]:
    """The same, without the sources of which a file is gone: somebody has deleted it and made that a version with `dvc add`.

    A source of the corpus may have none because all its records were forgotten.
    """
    recorded = recorded_origin(root)
    entries, forgot = recorded.get("sources", {}), bool(recorded.get("forgotten"))
    there = {
        name: entry for name, entry in entries.items() if stands(root / "data", name, entry) or (forgot and entry["target"] == "corpus")
    }
    return recorded and recorded | {"sources": there}


def origin_in_use(root: Path, work: Path, say: Say) -> dict[str, Any]:
    """What the version in use was made from, checked out first where it is not; nothing if there is none, or nothing of it here.

    Raises:
        UserError: it does not say, so it cannot be made anew with more or less in it.
    """
    there, recorded = checked_out(root, work, say), recorded_origin(root)
    if recorded or there is None:
        return recorded
    raise UserError(
        f"data: does not say what it was made from (no {ORIGIN}), so it cannot be made anew with this change; make the change in a copy "
        "of it, then `dvc add data`, or let `stemma ingest` make it what sources.yaml says first"
    )


@contextmanager
def workplace(root: Path, say: Say) -> Iterator[Path]:
    """An empty folder for one ingest at a time; what a killed one left in it is gone, and what it had announced is done."""
    locks, work = root / ".stemma" / "locks", root / ".stemma" / "ingest"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / "ingest"):
        if told := entering.complete(root):
            say(told)
        shutil.rmtree(work, ignore_errors=True)
        (work / "data").mkdir(parents=True)
        try:
            yield work
        finally:
            shutil.rmtree(work)


def _origin(root: Path, listed: Sources, chosen: Mapping[str, Source], numbers: Params, gone: Forgotten) -> dict[str, Any]:
    """All that decides what a data version holds, as JSON gives it back."""
    shares = {name: value for name, value in asdict(numbers).items() if name.endswith("_share")}
    entries = {name: pins(root, source, listed.archives) for name, source in chosen.items()}
    hashes = {"forgotten": sorted(gone.hashes)} if gone.hashes else {}
    return json.loads(json.dumps({"params": shares, "sources": entries, **hashes}))


def pins(root: Path, source: Source, known: Mapping[str, Archive]) -> dict[str, Any]:
    """What decides the rows of a source: its entry, its archive's bytes or those of its files."""
    entry = {key: value for key, value in asdict(source).items() if key != "optional" and (value is not None or key not in LATER)}
    if source.archive:
        entry["archive"] = asdict(known[source.archive])
    if source.path:
        hashed = hashlib.sha256()
        for file in below(root, source):
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            hashed.update(f"{file.relative_to(root / source.path).as_posix()} {digest}\n".encode())
        entry["sha256"] = hashed.hexdigest()
    return entry


def checked_out(root: Path, work: Path, say: Say) -> DataVersion | None:
    """The version in use, once `data/` is it: checked out first where it is missing or another version; None if it cannot be had.

    Raises:
        UserError: `data/` holds something that is in no version.
    """
    version = data_versions.in_use(root)
    there = data_versions.of_folder(root / "data")
    if there == version:
        return version
    with workspace.lock(root, say):
        if not data_versions.can_go(root, there):
            raise UserError("data: holds changes that are in no data version; keep them with `dvc add data`, or delete data/")
        if version is None or not data_versions.checkout(root, version, work / "checkout"):
            return None
    say(f"data/ checked out: {version.hash}")
    return version


def _unchanged(recorded: Mapping[str, Any], origin: Mapping[str, Any]) -> frozenset[str]:
    """The sources whose rows can be taken from `data/`: of the corpus those that are the same, of an application all, if none changed."""
    if not recorded or recorded.get("params") != origin["params"] or set(recorded.get("forgotten", ())) - set(origin.get("forgotten", ())):
        return frozenset()
    before, now = recorded["sources"], origin["sources"]
    same = {name for name, entry in before.items() if entry == now.get(name)}
    broken = {entry["target"] for name, entry in before.items() if name not in same} - {"corpus"}
    return frozenset(name for name in same if before[name]["target"] not in broken)


def _code(root: Path) -> str:
    """A hash of all code that reads rows, of the limits, and of pyarrow's version."""
    hashed = hashlib.sha256(f"{installed('pyarrow')} {numbers_of(root)}".encode())
    here = Path(__file__).parents[2]
    for file in sorted(file for pattern in CODE for file in here.glob(pattern)):
        hashed.update(file.read_bytes())
    return hashed.hexdigest()


def _remember(root: Path, version: DataVersion) -> None:
    record = {"code": _code(root), "data": version.hash}
    atomic.write(root, root / MADE, json.dumps(record) + "\n")


def _made_by_other_code(root: Path, version: DataVersion) -> bool:
    """Whether this machine made `version`, and with readers or limits that have changed since."""
    made = root / MADE
    record = documents.remembered(made) if made.exists() else {}
    return record.get("data") == version.hash and record["code"] != _code(root)


def to_stderr(line: str) -> None:
    """Tell a person what is going on."""
    sys.stderr.write(f"{line}\n")
