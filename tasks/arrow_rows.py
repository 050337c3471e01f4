"""Record batches of a foreign file in; rows as plain Python values out, one at a time."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tasks.readers import Refused, Row

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
            names = label_names(batch.schema)
            for start in range(0, len(batch), ROWS):
                for found in _values(batch.slice(start, ROWS)):
                    count += 1
                    if isinstance(found, str):
                        yield Refused(f"{where}, row {count}", found)
                        continue
                    for column, known in names.items():
                        found[column] = _name(found[column], known)
                    yield {column: found.get(name) for column, name in columns.items()} if columns else found
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


def _values(batch: "pa.RecordBatch") -> Iterator[Row | str]:
    """The rows of a batch, each alone where one of them cannot be had: that one as the reason."""
    try:
        yield from batch.to_pylist()
        return
    except (ValueError, OverflowError):
        pass
    for place in range(len(batch)):
        try:
            yield batch.slice(place, 1).to_pylist()[0]
        except (ValueError, OverflowError) as error:
            yield f"a value that is none: {error}"


def _name(value: Any, names: list[str]) -> Any:
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None
