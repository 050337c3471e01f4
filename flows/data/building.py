"""Sources in; the folder of a data version out. Rows of sources that have not changed are taken over from the version in use."""

import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from time import monotonic
from typing import Any

from flows.data import archives, origins, unpacking
from model.errors import UserError
from tasks import checkpoint, tables
from tasks.examples import canonical
from tasks.intake import rows as intake
from tasks.intake.forgotten import Forgotten
from tasks.intake.sources import Archive, Source
from tasks.intake.splits import SPLITS
from tasks.readers import Row

Say = Callable[[str], None]
Put = Callable[[Row, bytes], None]

EVERY = 5.0  # seconds between two lines about one source


@dataclass(frozen=True)
class Rules:
    """What decides, besides the sources, which rows come in and where they go."""

    validation_share: float
    test_share: float
    limits: intake.Limits
    unpacking: unpacking.Limits


@dataclass(frozen=True)
class Built:
    """What was written."""

    rows: dict[str, int]  # by file
    taken: dict[str, intake.Taken]  # by source that was read


@dataclass(frozen=True)
class Building:
    """One data version in the making, below `work/data`."""

    root: Path
    work: Path
    archives: Mapping[str, Archive]
    rules: Rules
    at_hand: Mapping[str, list[Path]]  # files of sources that were opened already
    forgotten: Forgotten
    say: Say
    pending: set[str] = field(default_factory=set, init=False)  # archives, fetched once one is needed: what is new is read before

    def build(self, chosen: Mapping[str, Source], unchanged: frozenset[str]) -> Built:
        """Write the rows of all sources; those in `unchanged` are in `data/` already, in the files of their target.

        Raises:
            UserError: a source is wrong or cannot be had, too many of its rows are refused, or an application ends up without rows.
        """
        self.pending.update(source.archive for name, source in chosen.items() if source.archive and name not in unchanged)
        rows: dict[str, int] = {}
        taken: dict[str, intake.Taken] = {}
        first = {chosen[name].target for name in self.at_hand}  # what is new, and may be wrong
        by_target = sorted(chosen, key=lambda name: (chosen[name].target not in first, chosen[name].target, name not in self.at_hand, name))
        for target, names in groupby(by_target, key=lambda name: chosen[name].target):
            sources = {name: chosen[name] for name in names}
            if any(source.reader is None for source in sources.values()):
                self._copy_files(target, sources, unchanged)
            elif target == "corpus":
                rows |= self._corpus(sources, unchanged, taken)
            else:
                rows |= self._examples(target, sources, unchanged, taken)
        return Built(dict(sorted(rows.items())), taken)

    def _corpus(self, sources: Mapping[str, Source], unchanged: frozenset[str], taken: dict[str, intake.Taken]) -> dict[str, int]:
        rows = {}
        for name, source in sources.items():
            if name in unchanged and not self.forgotten.hashes:
                for file in corpus_files(self.root / "data", name):
                    kept = self.work / "data" / "corpus" / file.name
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, kept)
                    rows[f"corpus/{file.name}"] = tables.num_rows(kept)
                continue
            corpus = intake.Corpus(name, self.work / "spill")
            if name in unchanged:
                self._take_over(corpus_files(self.root / "data", name), "corpus", corpus.put)
            else:
                taken[name] = self._take(name, source, corpus.put)
            rows |= corpus.write(self.work / "data")
        return rows

    def _examples(
        self, application: str, sources: Mapping[str, Source], unchanged: frozenset[str], taken: dict[str, intake.Taken]
    ) -> dict[str, int]:
        splits = intake.Splits(application, self.work / "spill", self.rules.validation_share, self.rules.test_share)
        if sources.keys() & unchanged:
            self._take_over(sorted((self.root / "data" / application).glob("*.parquet")), application, splits.put)
        for name in (name for name in sources if name not in unchanged):
            taken[name] = self._take(name, sources[name], splits.put)
        return splits.write(self.work / "data")

    def _take_over(self, files: list[Path], target: str, put: Put) -> None:
        for file in files:
            for row in tables.rows(file):
                if not self.forgotten.holds(row, target):
                    put(row, canonical(row).encode())

    def _take(self, name: str, source: Source, put: Put) -> intake.Taken:
        count, told = 0, monotonic()

        def counted(row: Row, written: bytes) -> None:
            nonlocal count, told
            put(row, written)
            count += 1
            if count % 1000 == 0 and monotonic() - told > EVERY:
                told = monotonic()
                self.say(f"{name}: {count:,} rows so far")

        files, quarantine = self._files(name, source), self.root / ".stemma" / "quarantine"
        try:
            taken = intake.take(name, source, files, quarantine, self.rules.limits, counted, self.forgotten)
        except UserError as error:
            if name not in self.at_hand:
                raise
            raise UserError(str(error).removeprefix("sources.yaml: ")) from None  # it does not stand there yet
        self.say(f"{name}: {taken.rows:,} rows, {taken.refused:,} refused")
        shutil.rmtree(self.work / "unpacked", ignore_errors=True)
        return taken

    def _copy_files(self, target: str, sources: Mapping[str, Source], unchanged: frozenset[str]) -> None:
        if sources.keys() <= unchanged:
            shutil.copytree(self.root / "data" / target, self.work / "data" / target)
            return
        for name, source in sources.items():
            files = self._files(name, source)
            for file in files:
                place = self.work / "data" / target / file.name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, place)
            self.say(f"{name}: {len(files)} files")

    def _files(self, name: str, source: Source) -> list[Path]:
        if name in self.at_hand:
            return self.at_hand[name]
        into = self.work / "unpacked" / name
        if source.path:
            return below(self.root, source)
        if source.archive:
            self._fetch_pending()
            archive = self.archives[source.archive]
            return archives.extract(self.root / origins.KEPT / archive.sha256, archive.kind, source.files, into)
        if source.sha256:
            kept = origins.kept(self.root, self.work, name, source, self.rules.unpacking.max_unpacked_bytes)
            files = opened(kept, into, self.rules.unpacking, self.say)
            return files if source.reader else checkpoint.chosen(files, kept.name)
        return []

    def _fetch_pending(self) -> None:
        def fetch(name: str) -> None:
            archive = self.archives[name]
            archives.fetch(self.root, self.work, name, archive)
            self.say(f"{archive.package}=={archive.version}: sha256 as pinned")

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(fetch, sorted(self.pending)))
        self.pending.clear()


def opened(kept: origins.Kept, into: Path, limits: unpacking.Limits, say: Say) -> list[Path]:
    """The files that kept bytes are, below `into`: one under its own name, or all that an archive holds."""
    if unpacking.kind_of(kept.file):
        files, left_out = unpacking.unpack(kept.file, kept.name, into, limits)
        for refused in left_out:
            say(f"left out: {refused.where}: {refused.reason}")
        return files
    into.mkdir(parents=True, exist_ok=True)
    (into / kept.name).symlink_to(kept.file.absolute())
    return [into / kept.name]


def below(root: Path, source: Source) -> list[Path]:
    """The files of a source of the user's own.

    Raises:
        UserError: there is nothing at its path, or nothing there matches.
    """
    place = root / str(source.path)
    found = {file for pattern in source.files for file in place.glob(pattern) if file.is_file()}
    if not found:
        raise UserError(f"sources.yaml: {source.path}: no file matches {', '.join(source.files)}; mend the path or the pattern")
    return sorted(found, key=lambda file: file.relative_to(place).as_posix())


def stands(data: Path, name: str, entry: Mapping[str, Any]) -> bool:
    """Whether the files below `data` are there that hold the rows of a source, with this entry in what `data` was made from."""
    if entry["target"] == "corpus":
        return bool(corpus_files(data, name))
    folder = data / entry["target"]
    return folder.is_dir() and (entry.get("reader") is None or all((folder / f"{split}.parquet").is_file() for split in SPLITS))


def corpus_files(data: Path, name: str) -> list[Path]:
    """The files of one source of the corpus below `data`: one, or several where it is large."""
    single = data / "corpus" / f"{name}.parquet"
    return [single] if single.exists() else sorted((data / "corpus").glob(f"{name}-[0-9][0-9][0-9][0-9][0-9].parquet"))
