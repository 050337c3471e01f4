"""Record batches of a foreign file in; rows as plain Python values out, one at a time."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tasks.readers import Found, Refused, Row

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 256  # in a batch: what a foreign file holds in one value may be large


def rows_of(where: str, batches: "Iterator[pa.RecordBatch]", columns: Mapping[str, str] | None) -> Iterator[Row | Refused]:
    """Rows of the columns as they are named, or of `columns`: {column: name in the file}; class labels as their names.

    Where the file is damaged, the rest of it is refused.
    """
    import pyarrow as pa

    count = 0
    try:
        for batch in batches:
            batch.validate()
            names = label_names(batch.schema)
            for start in range(0, len(batch), ROWS):
                for found in _values(batch.slice(start, ROWS)):
                    count += 1
                    if isinstance(found, str):
                        yield Refused(f"{where}, row {count}", found)
                        continue
                    for column, known in names.items():
                        found[column] = _name(found[column], known)
                    row = {column: found.get(name) for column, name in columns.items()} if columns else found
                    yield Found(f"{where}, row {count}", row)
    except (pa.ArrowException, OSError, ValueError) as error:
        yield Refused(f"{where}, after row {count}", f"damaged: {str(error).partition(chr(10))[0]}; the rest of the file is left out")


def label_names(schema: "pa.Schema") -> dict[str, list[str]]:
    """The names of the classes in each column that Hugging Face `datasets` wrote as numbers."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            name: feature["names"] for name, feature in features.items() if name in schema.names and feature.get("_type") == "ClassLabel"
        }
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _values(batch: "pa.RecordBatch") -> list[Row | str]:
    """The rows of a batch, and the reason for each that is damaged: Arrow itself trusts what a file says."""
    import pyarrow as pa

    try:
        batch.validate(full=True)
        return batch.to_pylist()
    except (pa.ArrowException, ValueError, OverflowError) as error:  # the last two: a time that Python has not
        if len(batch) == 1:
            return [f"damaged: {str(error).partition(chr(10))[0]}"]
    return [value for place in range(len(batch)) for value in _values(batch.slice(place, 1))]


def _name(value: Any, names: list[str]) -> Any:
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None
