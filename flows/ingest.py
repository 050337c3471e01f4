"""The sources of sources.yaml in; a new data version out, or nothing at all."""

import hashlib
import json
import shutil
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version as installed
from pathlib import Path
from time import perf_counter
from typing import Any

from filelock import FileLock

from flows import archives, data_versions, workspace
from flows.data_versions import DataVersion
from model.errors import UserError
from model.params import STRICT, Share
from tasks import columns, intake, params, sources, tables
from tasks.readers import Row
from tasks.sources import Archive, Source

Say = Callable[[str], None]

ORIGIN = "sources.json"  # below data/: what it was made from; the stage prepare reads it
MADE = ".stemma/ingest.json"  # which data version this machine made, by which code
CODE = ("tasks/readers/*.py", "tasks/columns.py", "tasks/intake.py", "tasks/splits.py", "tasks/tables.py", "model/applications/*.py")


@dataclass(frozen=True, kw_only=True)
class Params:
    """Section `ingest` of params.yaml."""

    __pydantic_config__ = STRICT

    validation_share: Share  # of an application's examples, by the hash of the split key
    test_share: Share
    max_refused_share: Share  # of a source's rows


@dataclass(frozen=True)
class IngestReport:
    """What an ingest did."""

    version: DataVersion
    changed: bool  # False: there was nothing to do
    rows: dict[str, int] = field(default_factory=dict)  # by file below data/
    refused: dict[str, int] = field(default_factory=dict)  # by source; the rows are in .stemma/quarantine
    seconds: float = 0.0

    def summary(self) -> str:
        """For people, several lines."""
        if not self.changed:
            return f"data version {self.version.hash}: nothing to do, data/ is what sources.yaml says"
        counts = [f"  {name:<40}{count:>9,} rows" for name, count in self.rows.items()]
        refused = [f"  {name}: {count} rows refused, see .stemma/quarantine/{name}.jsonl" for name, count in self.refused.items() if count]
        size = f"{self.version.num_files} files, {self.version.size / 1e6:.1f} MB, in {self.seconds:.0f} s"
        return "\n".join([f"data version {self.version.hash}: {size}; commit data.dvc to keep it", *counts, *refused])


def ingest(root: Path, names: Sequence[str] = (), say: Say | None = None) -> IngestReport:
    """Make `data/` what sources.yaml says, optional sources only if `names` has them, and version it with DVC.

    The same sources and numbers give the same data version on any machine. Whatever goes wrong, or if it is killed, the old version stays.

    Raises:
        UserError: a source is wrong or cannot be had, too many of its rows are refused, or an application ends up without rows.
    """
    began = perf_counter()
    say = say or _to_stderr
    workspace.check(root)
    shares = params.build(Params, params.select(params.read(root / "params.yaml"), "ingest"), "ingest")
    listed = sources.read(root / "sources.yaml")
    chosen = sources.choose(listed, list(names))
    with _workplace(root) as work:
        origin = {"params": asdict(shares), "sources": {name: pins(root, source, listed.archives) for name, source in chosen.items()}}
        if version := _unchanged(root, origin, work, say):
            return IngestReport(version, changed=False)
        rows, refused = _build(root, work, chosen, listed.archives, shares, say)
        (work / "data" / ORIGIN).write_text(json.dumps(origin, ensure_ascii=False, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        with workspace.lock(root, say):
            version = data_versions.adopt(root, work / "data")
        _remember(root, version)
    return IngestReport(version, True, rows, refused, perf_counter() - began)


@contextmanager
def _workplace(root: Path) -> Iterator[Path]:
    """An empty folder for one ingest at a time; what a killed one left in it is gone."""
    locks, work = root / ".stemma" / "locks", root / ".stemma" / "ingest"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / "ingest"):
        shutil.rmtree(work, ignore_errors=True)
        (work / "data").mkdir(parents=True)
        try:
            yield work
        finally:
            shutil.rmtree(work)


def pins(root: Path, source: Source, known: Mapping[str, Archive]) -> dict[str, Any]:
    """What decides the rows of a source: its entry, its archive's bytes or those of its files."""
    entry = {key: value for key, value in asdict(source).items() if key != "optional"}
    if source.archive:
        entry["archive"] = asdict(known[source.archive])
    if source.path:
        hashed = hashlib.sha256()
        for file in _below(root, source):
            hashed.update(f"{file.relative_to(root / source.path).as_posix()} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
        entry["sha256"] = hashed.hexdigest()
    return entry


def _unchanged(root: Path, origin: dict[str, Any], work: Path, say: Say) -> DataVersion | None:
    """The version in use if it came from `origin`; `data/` is checked out first where it is missing or is another version.

    Raises:
        UserError: `data/` holds something that is in no version.
    """
    data, version = root / "data", data_versions.in_use(root)
    there = data_versions.of_folder(data)
    if there != version:
        with workspace.lock(root, say):
            if there.num_files and not data_versions.is_kept(root, there):
                raise UserError("data: holds changes that are in no data version; keep them with `dvc add data`, or delete data/")
            if version is None or not data_versions.checkout(root, version, work / "checkout"):
                return None
        say(f"data/ checked out: {version.hash}")
    recorded = data / ORIGIN
    same = recorded.exists() and json.loads(recorded.read_text(encoding="utf-8")) == json.loads(json.dumps(origin))
    return version if version and same and not _made_by_other_code(root, version) else None


def _build(
    root: Path, work: Path, chosen: Mapping[str, Source], known: Mapping[str, Archive], shares: Params, say: Say
) -> tuple[dict[str, int], dict[str, int]]:
    """Write the data version below `work/data`: the rows of each file in it, and the refused rows of each source."""
    fetched = _fetch(root, chosen, known, say)
    counts: dict[str, int] = {}
    refused: dict[str, int] = {}
    examples: dict[str, dict[bytes, Row]] = defaultdict(dict)  # by application
    for name, source in sorted(chosen.items()):
        if source.path:
            files = _below(root, source)
        elif source.archive:
            files = archives.extract(fetched[source.archive], known[source.archive].kind, source.files, work / "unpacked" / name)
        else:
            files = []
        if source.reader is None:
            _copy(files, work / "data" / source.target)
            say(f"{name}: {len(files)} files")
            continue
        taken, refused[name] = intake.take(name, source, files, root / ".stemma" / "quarantine", shares.max_refused_share)
        say(f"{name}: {len(taken):,} rows, {refused[name]:,} refused")
        if source.target == "corpus":
            file = f"corpus/{name}.parquet"
            counts[file] = tables.write(work / "data" / file, intake.in_order(taken), columns.corpus())
        else:
            examples[source.target] |= taken
    for application, distinct in sorted(examples.items()):
        counts |= intake.write_splits(work / "data", application, distinct, shares.validation_share, shares.test_share)
    return counts, refused


def _fetch(root: Path, chosen: Mapping[str, Source], known: Mapping[str, Archive], say: Say) -> dict[str, Path]:
    needed = sorted({source.archive for source in chosen.values() if source.archive})

    def fetch(name: str) -> tuple[str, Path]:
        file = archives.fetch(root, name, known[name])
        say(f"{known[name].package}=={known[name].version}: sha256 as pinned")
        return name, file

    with ThreadPoolExecutor(4) as pool:
        return dict(pool.map(fetch, needed))


def _copy(files: list[Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for file in files:
        shutil.copyfile(file, folder / file.name)


def _below(root: Path, source: Source) -> list[Path]:
    """The files of a source of the user's own.

    Raises:
        UserError: there is nothing at its path, or nothing there matches.
    """
    place = root / str(source.path)
    found = {file for pattern in source.files for file in place.glob(pattern) if file.is_file()}
    if not found:
        raise UserError(f"sources.yaml: {source.path}: no file matches {', '.join(source.files)}; mend the path or the pattern")
    return sorted(found, key=lambda file: file.relative_to(place).as_posix())


def _code() -> str:
    """The hash of the code that turns files into rows, and of pyarrow's version."""
    here = Path(__file__).parents[1]
    hashed = hashlib.sha256(installed("pyarrow").encode())
    for file in sorted(file for pattern in CODE for file in here.glob(pattern)):
        hashed.update(file.read_bytes())
    return hashed.hexdigest()


def _remember(root: Path, version: DataVersion) -> None:
    record = {"code": _code(), "data": version.hash}
    (root / MADE).write_text(json.dumps(record) + "\n", encoding="utf-8")


def _made_by_other_code(root: Path, version: DataVersion) -> bool:
    """Whether this machine made `version`, and with readers that have changed since."""
    made = root / MADE
    record = json.loads(made.read_text(encoding="utf-8")) if made.exists() else {}
    return record.get("data") == version.hash and record["code"] != _code()


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
