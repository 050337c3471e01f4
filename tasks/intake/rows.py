"""What a reader finds in; the rows that fit their target, split by hash, out. However many there are, memory stays within a bound."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from model import applications
from model.applications import Application
from model.errors import UserError
from tasks import readers, tables
from tasks.examples import canonical
from tasks.intake import columns, splits
from tasks.intake.columns import SHOWN
from tasks.intake.forgotten import Forgotten
from tasks.intake.sources import Source
from tasks.intake.spill import Spill
from tasks.readers import BOTH_LANGUAGES, LANGUAGES, Found, Refused, Row

if TYPE_CHECKING:
    import pyarrow as pa

SHARD = 1 << 28  # bytes of rows in one file of the corpus
SHOWN_REASONS = 5
GROUP = 1 << 26  # bytes of rows in memory while they are written

NOTHING = Forgotten(frozenset())

Judge = Callable[[Row], Row | Refused]


@dataclass(frozen=True)
class Taken:
    """What became of a source's rows."""

    rows: int  # that fit, repetitions among them
    refused: int  # in quarantine, with the reason
    left_out: int  # files that are no data, in quarantine too
    forgotten: int  # that were to be forgotten: nothing of them is kept
    reasons: dict[str, int]  # the commonest, and how often


@dataclass(frozen=True)
class Limits:
    """How much of a source may be refused, and how large a row may be."""

    max_refused_share: float
    max_row_bytes: int


def take(
    name: str,
    source: Source,
    files: Sequence[Path],
    quarantine: Path,
    limits: Limits,
    put: Callable[[Row, bytes], None],
    forgotten: Forgotten = NOTHING,
) -> Taken:
    """Hand each row of a source that fits to `put`, with its canonical bytes; those that are refused go to `quarantine/<name>.jsonl`.

    Raises:
        UserError: more than `max_refused_share` of the rows are refused, or there are none.
    """
    num_rows = num_forgotten = left_out = 0
    reasons: Counter[str] = Counter()
    first: dict[str, str] = {}
    quarantine.mkdir(exist_ok=True)
    file = quarantine / f"{name}.jsonl"
    judge = _corpus_judge(name, source) if source.target == "corpus" else _application_judge(source)
    with file.open("w", encoding="utf-8", errors="backslashreplace") as log:  # a reason may quote what UTF-8 cannot hold
        for found in _read(name, source, files):
            row = found if isinstance(found, Refused) else judge(found)
            if not isinstance(row, Refused) and forgotten.holds(row, source.target):
                num_forgotten += 1
                continue
            if not isinstance(row, Refused):
                written = canonical(row).encode()
                if len(written) <= limits.max_row_bytes:
                    num_rows += 1
                    put(row, written)
                    continue
                row = Refused(_place(found), f"{len(written):,} bytes, more than ingest.max_row_bytes allows")
            log.write(json.dumps({"where": row.where, "reason": row.reason}, ensure_ascii=False) + "\n")
            left_out += not row.counts
            kind = row.reason.partition(", got ")[0][:100]  # whatever the value was
            reasons[kind] += 1
            first.setdefault(kind, row.reason[:100])
            if len(reasons) > 1000:  # all of them different, and so of no use
                reasons, first = Counter({"several reasons": reasons.total()}), {}
    reasons = Counter({first[kind] if count == 1 else kind: count for kind, count in reasons.items()})
    num_refused = reasons.total() - left_out
    if not num_refused + left_out:
        file.unlink()
    if num_refused > limits.max_refused_share * (num_rows + num_refused):
        most, count = reasons.most_common(1)[0]
        raise UserError(
            f"sources.yaml: {name}: {num_refused} of {num_rows + num_refused} rows refused, more than ingest.max_refused_share allows; "
            f"the reasons are in {file} ({count} times: {most})"
        )
    if not num_rows + num_forgotten:
        raise UserError(f"sources.yaml: {name}: no rows in its {len(files)} files; mend its files or options")
    return Taken(num_rows, num_refused, left_out, num_forgotten, dict(reasons.most_common(SHOWN_REASONS)))


def _read(name: str, source: Source, files: Sequence[Path]) -> Iterator[Row | Refused]:
    sizes = {file: file.stat().st_size for file in files}
    yield from (Refused(file.name, "an empty file", counts=False) for file, size in sizes.items() if not size)
    try:
        yield from readers.read(str(source.reader), [file for file, size in sizes.items() if size], source.options)
    except UserError as error:
        raise UserError(f"sources.yaml: {name}: {error}") from None


def _corpus_judge(name: str, source: Source) -> Judge:
    schema = columns.corpus()

    def judge(found: Row) -> Row | Refused:
        row: Row = {"text": found.get("text"), "source": name, "license": source.license, "lang": found.get("lang") or source.lang}
        reason = columns.mismatch(row, schema, optional=frozenset({"license", "lang"})) or (None if row["text"].strip() else "text: empty")
        return _refused(found, reason) if reason else row

    return judge


def _application_judge(source: Source) -> Judge:
    application = applications.load(source.target)
    given = dict(zip(("source_lang", "target_lang"), source.lang.split(":"), strict=True)) if source.lang else {}
    has_classes = "label" in application.SCHEMA.names and str(application.SCHEMA.field("label").type) == "string"

    def judge(found: Row) -> Row | Refused:
        row = {column: found.get(column, given.get(column)) for column in application.SCHEMA.names}
        if has_classes and type(row["label"]) in (int, bool):  # as a file of text has them
            row["label"] = json.dumps(row["label"])
        reason = columns.mismatch(row, application.SCHEMA) or application.refuse(row)
        return _refused(found, reason) if reason else row

    return judge


def _refused(found: Row, reason: str) -> Refused:
    if reason.endswith(": missing"):
        spoken = f"; {BOTH_LANGUAGES}" if reason.partition(":")[0] in LANGUAGES else ""
        reason += f"{spoken}; the row has {', '.join(map(str, found)):.200}"
    return Refused(_place(found), reason)


def _place(found: Row | Refused) -> str:
    """Where a row stands, or what is in it where its reader does not say."""
    return found.where if isinstance(found, Found | Refused) else SHOWN.repr(found)


class Corpus:
    """The documents of one source, on their way to `corpus/<source>.parquet`, or `-00001.parquet` and on where they are many."""

    def __init__(self, name: str, work: Path) -> None:
        self.name = name
        self._spill = Spill(work / "corpus" / name)

    def put(self, row: Row, written: bytes) -> None:
        self._spill.add(written)

    def write(self, data: Path) -> dict[str, int]:
        """Write them below `data`, and say how many rows each file has."""
        rows = self._spill.drain()
        counts: dict[str, int] = {}
        for first in rows:
            file = f"corpus/{self.name}-{len(counts) + 1:05}.parquet"
            counts[file] = _write(data / file, chain([first], rows), columns.corpus(), SHARD)
        if len(counts) == 1:
            (data / file).rename(data / f"corpus/{self.name}.parquet")
            return {f"corpus/{self.name}.parquet": counts[file]}
        return counts


class Splits:
    """The examples of one application, on their way to its splits."""

    def __init__(self, name: str, work: Path, validation_share: float, test_share: float) -> None:
        self.name = name
        self._application: Application = applications.load(name)
        self._shares = validation_share, test_share
        self._spills: Mapping[str, Spill] = {split: Spill(work / name / split) for split in splits.SPLITS}

    def put(self, row: Row, written: bytes) -> None:
        self._spills[splits.split_of(self._application.split_key(row), *self._shares)].add(written)

    def write(self, data: Path) -> dict[str, int]:
        """Write them below `data`, and say how many rows each file has.

        Raises:
            UserError: a split would have none.
        """
        counts = {}
        for split, spill in self._spills.items():
            file = f"{self.name}/{split}.parquet"
            counts[file] = _write(data / file, spill.drain(), self._application.SCHEMA)
        if empty := [file for file, count in counts.items() if not count]:
            raise UserError(
                f"data/{empty[0].removesuffix('.parquet')}: no rows out of {sum(counts.values())}; ingest more for {self.name}, "
                "or change the shares in params.yaml"
            )
        return counts


def _write(file: Path, rows: Iterator[bytes], schema: "pa.Schema", at_most: int | None = None) -> int:
    """Write rows, as many as `at_most` bytes hold, and say how many there were."""
    size = group = 0
    with tables.Writer(file, schema) as writer:
        for row in rows:
            writer.add(json.loads(row))
            size, group = size + len(row), group + len(row)
            if group >= GROUP:
                writer.flush()
                group = 0
            if at_most and size >= at_most:
                break
    return writer.num_rows
