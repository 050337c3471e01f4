"""What holds for every input of a format, as Hypothesis looks for one where it does not."""

import csv
import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.errors import UserError
from tasks.intake import lines
from tasks.readers import Refused, read

OPTIONS = {
    "arrow": {},
    "conll": {"token": 0, "predicate": 1, "roles": 2, "after": 0},
    "csv": {},
    "html": {"max_characters": 50},
    "json": {},
    "jsonl": {},
    "markdown": {"max_characters": 50},
    "parquet": {},
    "passages": {},
    "propbank": {},
    "quac": {},
    "squad": {},
    "tagged": {"max_characters": 50},
    "text": {"max_characters": 50},
    "tmx": {"source_lang": "en", "target_lang": "zh"},
    "vader": {"threshold": 0.5},
}

plain = st.text(st.characters(exclude_categories=["Cs"]))
lined = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain, inner, max_size=3),
    max_leaves=4,
)

many = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def found(reader, name, content, **options):
    with TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(content)
        return list(read(reader, [file], OPTIONS[reader] | options))


@pytest.mark.parametrize("reader", sorted(OPTIONS))
@many
@given(content=st.binary() | plain.map(str.encode))
def test_any_bytes_are_rows_or_refusals_or_one_line(reader, content):
    try:
        rows = found(reader, "input", content)
    except UserError as error:
        rows = [Refused("input", str(error))]
    assert all(isinstance(row, dict) or (isinstance(row, Refused) and len(row.reason.splitlines()) == 1) for row in rows)


@many
@given(st.lists(st.dictionaries(plain, values, max_size=3), max_size=4))
def test_json_comes_back_as_it_was_in_both_forms(rows):
    rows = json.loads(json.dumps(rows))
    whole = found("json", "rows.json", json.dumps(rows).encode())
    by_line = found("jsonl", "rows.jsonl", "\n".join(map(json.dumps, rows)).encode())
    assert json.dumps(whole) == json.dumps(by_line) == json.dumps(rows)  # as text: NaN is not itself


@many
@given(st.lists(st.tuples(lined, lined), min_size=1), st.sampled_from(",;\t"))
def test_a_table_comes_back_field_by_field(rows, delimiter):
    held = io.StringIO()
    csv.writer(held, delimiter=delimiter).writerows([("a", "b"), *rows])
    back = found("csv", "rows.csv", held.getvalue().encode(), delimiter=delimiter)
    assert [(row["a"], row["b"]) for row in back] == [(first.strip(), second.strip()) for first, second in rows]


@many
@given(st.lists(lined, min_size=1), st.integers(1, 60))
def test_no_paragraph_of_a_text_is_lost(paragraphs, size):
    wanted = [text.strip() for text in paragraphs if text.strip()]
    documents = found("text", "text.txt", "\n\n".join(paragraphs).encode(), max_characters=size)
    assert "\n\n".join(row["text"] for row in documents) == "\n\n".join(wanted)


@many
@given(st.lists(st.tuples(plain, st.integers(-(2**31), 2**31 - 1))))
def test_columns_come_back_from_arrow_and_parquet(rows):
    table = pa.table(
        {"text": pa.array([text for text, _ in rows], pa.string()), "number": pa.array([number for _, number in rows], pa.int32())}
    )
    streamed, random_access, held = io.BytesIO(), io.BytesIO(), io.BytesIO()
    with pa.ipc.new_stream(streamed, table.schema) as writer:
        writer.write_table(table)
    with pa.ipc.new_file(random_access, table.schema) as writer:
        writer.write_table(table)
    pq.write_table(table, held)
    expected = [{"text": text, "number": number} for text, number in rows]
    for reader, file in (("arrow", streamed), ("arrow", random_access), ("parquet", held)):
        assert found(reader, "rows", file.getvalue()) == expected


@many
@given(
    st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\r", b"").replace(b"\n", b""))),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
)
def test_lines_are_cut_the_same_whatever_the_size_of_a_chunk(content, end):
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        file = Path(folder) / "lines"
        file.write_bytes(b"".join(line + end for line in content))
        patch.setattr(lines, "LONGEST", 8)
        cut = []
        for chunk in (1, 2, 3, 1000):
            patch.setattr(lines, "CHUNK", chunk)
            cut.append(list(lines._pieces(file)))
    assert cut[0] == [line if len(line) <= 8 else None for line in content]
    assert cut.count(cut[0]) == len(cut)
