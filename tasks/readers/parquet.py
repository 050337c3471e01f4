"""Parquet files in; their columns, renamed as asked, out."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tasks import tables
from tasks.readers import Row


def read(files: Sequence[Path], columns: Mapping[str, str] | None = None) -> Iterator[Row]:
    """Rows of the columns as they are named, or of `columns`: {column: name in the file}."""
    for file in files:
        for batch in tables.batches(file, sorted(set(columns.values())) if columns else None):
            for found in batch:
                yield {column: found[name] for column, name in columns.items()} if columns else found
