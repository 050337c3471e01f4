"""Rows to and from Parquet: the same rows are always the same bytes (for one version of pyarrow), and are never all in memory."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 4096  # in a row group and in a batch
PORTION = 2**19  # characters

Row = dict[str, Any]


class Writer:
    """A Parquet file that takes one row at a time: `with Writer(file, schema) as writer: writer.add(row)`."""

    def __init__(self, file: Path, schema: "pa.Schema") -> None:
        import pyarrow.parquet as pq

        file.parent.mkdir(parents=True, exist_ok=True)
        self.schema = schema
        self.num_rows = 0
        self._held: list[Row] = []
        self._writer = pq.ParquetWriter(file, schema, compression="zstd", version="2.6")

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *error: object) -> None:
        if not error[0]:
            self.flush()
        self._writer.close()

    def add(self, row: Row) -> None:
        self._held.append(row)
        self.num_rows += 1
        if len(self._held) == ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what is held as a row group."""
        import pyarrow as pa

        if self._held:
            self._writer.write_table(pa.Table.from_pylist(self._held, schema=self.schema))
            self._held = []


def write(file: Path, rows: Iterable[Row], schema: "pa.Schema") -> int:
    """Write `rows` and say how many there were."""
    with Writer(file, schema) as writer:
        for row in rows:
            writer.add(row)
    return writer.num_rows


def schema(file: Path) -> "pa.Schema":
    """The columns of `file`, without metadata.

    Raises:
        UserError: it is missing, truncated or no Parquet file.
    """
    return _open(file).schema_arrow.remove_metadata()


def num_rows(file: Path) -> int:
    """How many rows `file` has.

    Raises:
        UserError: it is missing, truncated or no Parquet file.
    """
    return int(_open(file).metadata.num_rows)


def batches(file: Path, columns: Sequence[str] | None = None) -> Iterator[list[Row]]:
    """The rows of `file` in its order, a batch at a time.

    Raises:
        UserError: it is missing, truncated or no Parquet file, or lacks one of `columns`.
    """
    import pyarrow as pa

    opened = _open(file)
    if missing := [name for name in columns or () if name not in opened.schema_arrow.names]:
        raise UserError(f"{file}: no column {missing[0]}; there is {', '.join(opened.schema_arrow.names)}")
    try:
        for batch in opened.iter_batches(batch_size=ROWS, columns=list(columns) if columns else None, use_threads=False):
            yield batch.to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(file, error) from None


def rows(file: Path, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """The rows of `file`, one at a time."""
    for batch in batches(file, columns):
        yield from batch


def portions(file: Path, columns: Sequence[str] | None = None) -> Iterator[list[Row]]:
    """The rows of `file` in its order, about as much text at a time as is quick to work on."""
    size, held = 0, []
    for row in rows(file, columns):
        held.append(row)
        size += sum(len(value) for value in row.values() if isinstance(value, str))
        if size >= PORTION or len(held) == ROWS:
            yield held
            size, held = 0, []
    if held:
        yield held


def _open(file: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(file)
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; run `stemma ingest`") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(file, error) from None


def _unreadable(file: Path, error: Exception) -> UserError:
    return UserError(f"{file}: truncated or not a Parquet file ({str(error).splitlines()[0]}); delete it and fetch it again")
