"""What differs between two tables of rows, whatever their order: Parquet files on two sides in; counts, statistics and samples out."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from model.errors import UserError
from tasks.digests import digests
from tasks.tables import ROWS, Row

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

COUNTED = ("lang", "source_lang", "target_lang", "label", "tags")  # columns of few values: how often each occurs is told

File = tuple[str, Callable[[], BinaryIO]]  # its content's hash, and what opens it


@dataclass
class Statistics:
    """Of one side."""

    rows: int = 0
    characters: int = 0
    values: dict[str, Counter[str]] = field(default_factory=dict)  # by column of COUNTED

    def count(self, column: str, value: str) -> int:
        """How often a value occurs in a column."""
        return self.values.get(column, Counter())[value]

    def __add__(self, other: "Statistics") -> "Statistics":
        values = {name: self.values.get(name, Counter()) + other.values.get(name, Counter()) for name in {**self.values, **other.values}}
        return Statistics(self.rows + other.rows, self.characters + other.characters, values)


@dataclass(frozen=True)
class Changes:
    """Rows of the second side that the first lacks, the other way round, and pairs of such with the same key."""

    added: int
    removed: int
    changed: int
    before: Statistics
    after: Statistics
    samples: dict[str, list[Any]]  # added, removed: rows; changed: pairs of rows


def compare(before: Sequence[File], after: Sequence[File], key: Callable[[Row], str] | None, num_samples: int) -> Changes:
    """Compare the rows of two sides; equal rows are matched one to one.

    Args:
        before: the files of the first side.
        after: the files of the second.
        key: what stays the same when a row is changed; None where rows are only added and removed.
        num_samples: rows shown of each kind, those of the lowest hashes.
    """
    columns = sorted({name for file in {*before, *after} for name in _columns_of(file)})
    scans = {file[0]: _scan(file, columns) for file in (*before, *after)}
    sides = [_Side(files, [scans[file[0]][0] for file in files]) for files in (before, after)]
    removed, added = _unmatched(*(side.digests for side in sides))
    pairs: list[tuple[int, int]] = []
    if key:
        keys = [{at: key(row) for at, row in side.rows(places)} for side, places in zip(sides, (removed, added), strict=True)]
        pairs = list(_pairs(*keys))
        removed, added = (
            [at for at in places if at not in paired] for places, paired in zip((removed, added), _columns(pairs), strict=True)
        )
    shown = [_lowest(side.digests, places, num_samples) for side, places in zip(sides, (removed, added), strict=True)]
    chosen = sorted(pairs, key=lambda pair: sides[0].digests[pair[0]])[:num_samples]
    old, new = (dict(side.rows([*few, *more])) for side, few, more in zip(sides, shown, _columns(chosen), strict=True))
    samples: dict[str, list[Any]] = {
        "added": [new[at] for at in shown[1]],
        "removed": [old[at] for at in shown[0]],
        "changed": [[old[left], new[right]] for left, right in chosen],
    }
    first, second = (sum((scans[file[0]][1] for file in files), Statistics()) for files in (before, after))
    return Changes(len(added), len(removed), len(pairs), first, second, samples)


@dataclass(frozen=True)
class _Side:
    files: Sequence[File]
    parts: Sequence["np.ndarray"]  # the digests of each file's rows

    @property
    def digests(self) -> "np.ndarray":
        import numpy as np

        return np.concatenate([np.empty(0, np.uint64), *self.parts])

    def rows(self, places: Iterable[int]) -> Iterator[tuple[int, Row]]:
        """The rows at these places, counted through all files, in their order."""
        import numpy as np

        wanted, start = np.unique(np.fromiter(places, np.int64)), 0
        for file, part in zip(self.files, self.parts, strict=True):
            here = wanted[(wanted >= start) & (wanted < start + len(part))] - start
            yield from zip((here + start).tolist(), _rows_at(file, here), strict=True)
            start += len(part)


@contextmanager
def _opened(file: File) -> "Iterator[pq.ParquetFile]":
    import pyarrow as pa
    import pyarrow.parquet as pq

    with file[1]() as stream:
        try:
            yield pq.ParquetFile(stream)
        except pa.ArrowInvalid as error:
            raise UserError(f"{file[0]}: damaged ({str(error).splitlines()[0]}); `stemma doctor` says what can be done") from None


def _columns_of(file: File) -> list[str]:
    with _opened(file) as parquet:
        return list(parquet.schema_arrow.names)


def _batches(file: File) -> "Iterator[pa.RecordBatch]":
    with _opened(file) as parquet:
        yield from parquet.iter_batches(batch_size=ROWS, use_threads=False)


def _scan(file: File, columns: Sequence[str]) -> tuple["np.ndarray", Statistics]:
    import numpy as np

    found, statistics = [np.empty(0, np.uint64)], Statistics()
    for batch in _batches(file):
        found.append(digests(batch, columns))
        statistics += _measured(batch)
    return np.concatenate(found), statistics


def _rows_at(file: File, places: "np.ndarray") -> Iterator[Row]:
    """Rows of a file at ascending places."""
    start = 0
    if len(places):
        for batch in _batches(file):
            here = places[(places >= start) & (places < start + batch.num_rows)] - start
            yield from batch.take(here).to_pylist()
            start += batch.num_rows


def _unmatched(before: "np.ndarray", after: "np.ndarray") -> tuple[list[int], list[int]]:
    """The places on each side of rows that the other side has not, or not as often."""
    import numpy as np

    distinct, numbers = np.unique(np.concatenate([before, after]), return_inverse=True)
    sides = numbers[: len(before)], numbers[len(before) :]
    counts = [np.bincount(side, minlength=len(distinct)) for side in sides]
    shared = np.minimum(*counts)
    return tuple(_beyond(side, shared) for side in sides)  # type: ignore[return-value]


def _beyond(side: "np.ndarray", shared: "np.ndarray") -> list[int]:
    """The places at which a value occurs more often than it is shared."""
    import numpy as np

    order = np.argsort(side, kind="stable")
    grouped = side[order]
    nth = np.arange(len(side)) - np.searchsorted(grouped, grouped)  # of its value
    return np.sort(order[nth >= shared[grouped]]).tolist()


def _pairs(before: dict[int, str], after: dict[int, str]) -> Iterator[tuple[int, int]]:
    """Places of rows with the same key, each used once, in their order."""
    waiting: dict[str, list[int]] = {}
    for at, key in reversed(before.items()):
        waiting.setdefault(key, []).append(at)
    for at, key in after.items():
        if waiting.get(key):
            yield waiting[key].pop(), at


def _columns(pairs: Sequence[tuple[int, int]]) -> tuple[set[int], set[int]]:
    return {first for first, _ in pairs}, {second for _, second in pairs}


def _lowest(numbers: "np.ndarray", places: list[int], count: int) -> list[int]:
    return sorted(places, key=lambda at: numbers[at])[:count]


def _measured(batch: "pa.RecordBatch") -> Statistics:
    import pyarrow.compute as pc

    characters = sum(pc.sum(pc.utf8_length(texts)).as_py() or 0 for column in batch.columns for texts in _strings(column))
    values = {name: _counts(batch.column(name)) for name in COUNTED if name in batch.schema.names}
    return Statistics(batch.num_rows, characters, values)


def _strings(values: "pa.Array") -> Iterator["pa.Array"]:
    """The texts in a column, those in lists and structs too."""
    import pyarrow as pa

    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        yield values
    elif pa.types.is_list(values.type):
        yield from _strings(values.flatten())
    elif pa.types.is_struct(values.type):
        for inner in values.flatten():
            yield from _strings(inner)


def _counts(values: "pa.Array") -> Counter[str]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_list(values.type):  # tags: the first word of each span has its role
        tags = values.flatten()
        values = tags.filter(pc.starts_with(tags, "B-"))
    return Counter({str(entry["values"]): entry["counts"] for entry in pc.value_counts(values).to_pylist()})
