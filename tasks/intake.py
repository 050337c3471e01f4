"""What a reader finds in; the rows that fit their target, split by hash, out."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from model import applications
from model.applications import Application
from model.errors import UserError
from tasks import columns, readers, splits, tables
from tasks.examples import canonical
from tasks.readers import Refused, Row
from tasks.sources import Source


def take(name: str, source: Source, files: Sequence[Path], quarantine: Path, max_refused_share: float) -> tuple[dict[bytes, Row], int]:
    """The distinct rows of a source by their hash, and how many were refused: those are in `quarantine/<name>.jsonl`.

    Raises:
        UserError: more than `max_refused_share` of the rows are refused, or there are none.
    """
    taken: dict[bytes, Row] = {}
    num_rows = num_refused = 0
    quarantine.mkdir(exist_ok=True)
    file = quarantine / f"{name}.jsonl"
    judge = _corpus_judge(name, source) if source.target == "corpus" else _application_judge(applications.load(source.target))
    with file.open("w", encoding="utf-8") as log:
        for found in _read(name, source, files):
            num_rows += 1
            row = found if isinstance(found, Refused) else judge(found)
            if isinstance(row, Refused):
                num_refused += 1
                log.write(json.dumps(asdict(row), ensure_ascii=True) + "\n")
            else:
                taken[hashlib.sha256(canonical(row).encode()).digest()] = row
    if not num_refused:
        file.unlink()
    if num_refused > max_refused_share * num_rows:
        raise UserError(
            f"sources.yaml: {name}: {num_refused} of {num_rows} rows refused, more than ingest.max_refused_share allows; "
            f"the reasons are in {file}"
        )
    if not taken:
        raise UserError(f"sources.yaml: {name}: no rows in its {len(files)} files; mend its files or options")
    return taken, num_refused


def _read(name: str, source: Source, files: Sequence[Path]) -> Iterator[Row | Refused]:
    try:
        yield from readers.read(str(source.reader), files, source.options)
    except UserError as error:
        raise UserError(f"sources.yaml: {name}: {error}") from None


def _corpus_judge(name: str, source: Source) -> Callable[[Row], Row | Refused]:
    schema = columns.corpus()

    def judge(found: Row) -> Row | Refused:
        row: Row = {"text": found.get("text"), "source": name, "license": source.license, "lang": found.get("lang")}
        reason = columns.mismatch(row, schema, optional=frozenset({"license", "lang"})) or (None if row["text"].strip() else "text: empty")
        return Refused(f"{found!r:.200}", reason) if reason else row

    return judge


def _application_judge(application: Application) -> Callable[[Row], Row | Refused]:
    def judge(found: Row) -> Row | Refused:
        row = {column: found.get(column) for column in application.SCHEMA.names}
        reason = columns.mismatch(row, application.SCHEMA) or application.refuse(row)
        return Refused(f"{found!r:.200}", reason) if reason else row

    return judge


def write_splits(data: Path, name: str, distinct: Mapping[bytes, Row], validation_share: float, test_share: float) -> dict[str, int]:
    """Write the splits of an application below `data`, and say how many rows each file has.

    Raises:
        UserError: a split would have none.
    """
    application = applications.load(name)
    parts: dict[str, dict[bytes, Row]] = {split: {} for split in splits.SPLITS}
    for digest, row in distinct.items():
        parts[splits.split_of(application.split_key(row), validation_share, test_share)][digest] = row
    counts = {}
    for split, part in parts.items():
        if not part:
            raise UserError(
                f"data/{name}/{split}: no rows out of {len(distinct)}; ingest more for {name}, or change the shares in params.yaml"
            )
        counts[f"{name}/{split}.parquet"] = tables.write(data / name / f"{split}.parquet", in_order(part), application.SCHEMA)
    return counts


def in_order(rows: Mapping[bytes, Row]) -> Iterator[Row]:
    """Rows in the order of their hashes: whatever order they were read in, the file is the same."""
    return (rows[digest] for digest in sorted(rows))
