"""Rows of Arrow tables as numbers that are equal where the rows are; a column at a time, not a row at a time."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

NULL = "~"


def digests(batch: "pa.RecordBatch", columns: Sequence[str]) -> "np.ndarray":
    """64 bits of BLAKE2b over the values of `columns` in each row; a column that is not there is null."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if not batch.num_rows:
        return np.empty(0, np.uint64)
    nothing = pa.scalar(NULL)
    texts = [_texts(batch.column(name)) if name in batch.schema.names else nothing for name in columns]
    whole = pc.binary_join_element_wise(*texts, ",") if texts else pa.array([""] * batch.num_rows)
    rows = whole.cast(pa.binary()).to_pylist()
    return np.frombuffer(b"".join(hashlib.blake2b(row, digest_size=8).digest() for row in rows), np.uint64)


def _texts(values: "pa.Array") -> "pa.Array":
    """A text for each value, another for another value: strings with their lengths, lists and structs with those of what they hold."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        told: Any = pc.binary_join_element_wise(pc.binary_length(values).cast(pa.string()), values.cast(pa.string()), ":")
    elif pa.types.is_list(kind):
        held = pa.ListArray.from_arrays(_offsets(values), _texts(values.flatten()))
        lengths = pc.list_value_length(values).cast(pa.string())
        told = pc.binary_join_element_wise(lengths, pc.binary_join(held, ","), "[")
    elif pa.types.is_struct(kind):
        told = pc.binary_join_element_wise(*(_texts(field) for field in values.flatten()), ",")
        told = pc.if_else(values.is_valid(), told, pa.scalar(None, pa.string()))
    else:
        told = values.cast(pa.string())
    return pc.fill_null(told, NULL)


def _offsets(values: "pa.ListArray") -> "pa.Array":
    """Where each list begins in `values.flatten()`, which leaves out what null lists and slices hide."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
