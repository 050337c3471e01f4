"""Parquet: the same bytes for the same rows, and one line for a file that is none."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.errors import UserError
from tasks import tables

SCHEMA = pa.schema([("text", pa.string()), ("places", pa.list_(pa.int32()))])
ROWS = [{"text": f"row {number}", "places": [number, number + 1]} for number in range(tables.ROWS + 3)]


def test_the_same_rows_are_the_same_bytes_without_metadata_of_other_libraries(tmp_path):
    assert tables.write(tmp_path / "a.parquet", iter(ROWS), SCHEMA) == len(ROWS)
    tables.write(tmp_path / "b.parquet", ROWS, SCHEMA)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert set(pq.read_metadata(tmp_path / "a.parquet").metadata) <= {b"ARROW:schema"}
    assert list(tables.rows(tmp_path / "a.parquet")) == ROWS
    assert tables.schema(tmp_path / "a.parquet") == SCHEMA


def test_a_truncated_file_is_one_line_that_names_it(tmp_path):
    file = tmp_path / "torn.parquet"
    tables.write(file, ROWS, SCHEMA)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"torn\.parquet: truncated or not a Parquet file \(.*\); "):
        list(tables.rows(file))


def test_bytes_damaged_in_the_middle_are_one_line_that_names_the_file(tmp_path):
    file = tmp_path / "worn.parquet"
    tables.write(file, ROWS, SCHEMA)
    content = bytearray(file.read_bytes())
    content[100:400] = bytes(300)
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"worn\.parquet: truncated or not a Parquet file \(.*\); "):
        list(tables.rows(file))


def test_a_missing_column_is_one_line(tmp_path):
    tables.write(tmp_path / "a.parquet", ROWS, SCHEMA)
    with pytest.raises(UserError, match=r"a\.parquet: no column lang; there is text, places$"):
        list(tables.rows(tmp_path / "a.parquet", ["text", "lang"]))
