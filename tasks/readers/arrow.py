"""Arrow files (the streams that Hugging Face `datasets` saves, or the random-access format) in; their columns, renamed as asked, out."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.intake.arrow_rows import rows_of
from tasks.readers import Refused, Row, require

if TYPE_CHECKING:
    import pyarrow as pa

MAGIC = b"ARROW1"  # of the random-access format


def read(files: Sequence[Path], columns: Mapping[str, str] | None = None) -> Iterator[Row | Refused]:
    """Rows of the columns as they are named, or of `columns`: {column: name in the file}; class labels as their names."""
    import pyarrow as pa

    for file in files:
        with pa.OSFile(str(file)) as source:
            try:
                names, batches = _open(source)
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                yield Refused(file.name, f"not an Arrow file: {str(error).partition(chr(10))[0]}")
                continue
            require(file, columns or {}, names)
            yield from rows_of(file.name, batches, columns)


def _open(source: "pa.NativeFile") -> "tuple[list[str], Iterator[pa.RecordBatch]]":
    import pyarrow as pa

    magic = source.read(len(MAGIC))
    source.seek(0)
    if magic != MAGIC:
        stream = pa.ipc.open_stream(source)
        return stream.schema.names, iter(stream)
    opened = pa.ipc.open_file(source)
    return opened.schema.names, (opened.get_batch(place) for place in range(opened.num_record_batches))
