"""Parquet files in; their columns, renamed as asked, out."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tasks.intake.arrow_rows import ROWS, rows_of
from tasks.readers import Refused, Row, require


def read(files: Sequence[Path], columns: Mapping[str, str] | None = None) -> Iterator[Row | Refused]:
    """Rows of the columns as they are named, or of `columns`: {column: name in the file}."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in files:
        try:
            opened = pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False)
            names = opened.schema_arrow.names
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            yield Refused(file.name, f"not a Parquet file: {str(error).partition(chr(10))[0]}")
            continue
        require(file, columns or {}, names)
        wanted = sorted(set(columns.values())) if columns else None
        with opened:
            yield from rows_of(file.name, opened.iter_batches(batch_size=ROWS, columns=wanted, use_threads=False), columns)
