"""An application's rows out of a Parquet file, and a choice among them that does not change when rows are added elsewhere."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from model.applications import Row
from model.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa


def read(file: Path, schema: "pa.Schema") -> list[Row]:
    """The rows of a split, with the columns of `schema`.

    Raises:
        UserError: the file is missing or lacks a column, or has no row.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file)
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; run the stage prepare") from None
    except pa.ArrowInvalid as error:
        raise UserError(f"{file}: not a Parquet file ({str(error).splitlines()[0]}); run the stage prepare again") from None
    if missing := [name for name in schema.names if name not in table.column_names]:
        raise UserError(f"{file}: no column {missing[0]}; there is {', '.join(table.column_names)}")
    if not len(table):
        raise UserError(f"{file}: no rows; ingest more data for this application")
    return table.select(schema.names).cast(schema).to_pylist()


def canonical(row: Row) -> str:
    """One row as one line of JSON, always the same."""
    return json.dumps(row, ensure_ascii=False, sort_keys=True)


def by_hash(rows: Sequence[Row], limit: int) -> list[Row]:
    """At most `limit` of `rows`, those of the lowest hashes, in the order of their hashes."""
    return sorted(rows, key=lambda row: hashlib.sha256(canonical(row).encode()).digest())[:limit]
