"""Rows as numbers: equal for equal rows, and for no others."""

import pyarrow as pa

from tasks.digests import digests

COLUMNS = ["answers", "label", "number", "tags", "text"]
ROWS = [
    {"text": "a", "label": "b", "number": 1, "tags": ["x", "y"], "answers": [{"text": "q", "start": 1}]},
    {"text": "ab", "label": "", "number": 1, "tags": ["x", "y"], "answers": [{"text": "q", "start": 1}]},
    {"text": "", "label": "ab", "number": 1, "tags": ["x", "y"], "answers": [{"text": "q", "start": 1}]},
    {"text": "a,1:b", "label": None, "number": None, "tags": ["x,y"], "answers": []},
    {"text": "a", "label": "1:b", "number": None, "tags": ["x", None], "answers": None},
    {"text": "~", "label": None, "number": 11, "tags": [], "answers": [{"text": None, "start": None}]},
    {"text": None, "label": "~", "number": 11, "tags": None, "answers": [None]},
    {"text": "人工", "label": "智能", "number": -1, "tags": ["人", "工"], "answers": [{"text": "q", "start": 1}, {"text": "", "start": 0}]},
]
SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("label", pa.string()),
        ("number", pa.int32()),
        ("tags", pa.list_(pa.string())),
        ("answers", pa.list_(pa.struct([("text", pa.string()), ("start", pa.int32())]))),
    ]
)


def batch(rows):
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


def test_other_rows_have_other_numbers():
    assert len(set(digests(batch(ROWS), COLUMNS).tolist())) == len(ROWS)


def test_a_row_has_the_same_number_wherever_it_stands():
    whole = digests(batch(ROWS), COLUMNS).tolist()
    assert digests(batch(ROWS).slice(3), COLUMNS).tolist() == whole[3:]
    assert digests(batch(ROWS[::-1]), COLUMNS).tolist() == whole[::-1]


def test_a_column_that_is_not_there_is_null():
    rows = batch([{**row, "label": None} for row in ROWS])
    assert digests(rows.drop_columns(["label"]), COLUMNS).tolist() == digests(rows, COLUMNS).tolist()


def test_no_rows_have_no_numbers():
    assert digests(batch([]), COLUMNS).tolist() == []
