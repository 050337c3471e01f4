"""Which reader a file's content asks for."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.errors import UserError
from tasks.intake import detection
from tasks.intake.detection import Format

FIELDS = ("text", "label")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("x", '{"text": "a"}\n{"text": "b"}\n', "jsonl"),
        ("x", '{"text": "a"}', "jsonl"),
        ("x", '[\n {"text": "a"}\n]', "json"),
        ("x", '[{"text": "a"}]', "json"),
        ("x", json.dumps({"text": "y" * 100_000}), "jsonl"),
        ("x", json.dumps({"data": [{"paragraphs": []}]}), "squad"),
        ("x", "text,label\na,b\n", "csv"),
        ("x.csv", "one\na\n", "csv"),
        ("x", "text\tlabel\na\tb\n", Format("csv", {"delimiter": "\t"})),
        ("x", "Well, yes.\nNo, not so.\n", "text"),
        ("x", "[Music] and {more}\n", "text"),
        ("x", "A line.\n" * 40, Format("text", {"paragraph": "line"})),
        ("x.md", "Prose.", "markdown"),
        ("x", "# Title\n\nProse.", "markdown"),
        ("x", "<!DOCTYPE html><p>Hi", "html"),
        ("x", "\ufeff  <html><body>Hi", "html"),
        ("x", '<?xml version="1.0"?><tmx version="1.4">', "tmx"),
        ("x", '<?xml version="1.0"?><!DOCTYPE frameset SYSTEM "frameset.dtd"><frameset>', "propbank"),
        ("x", "x 0 0 She PRP * - - - - * (ARG0*) -\n", "conll"),
        ("x.en", "Hello.\n", "moses"),
        ("x.xml", "<a/>", None),
        ("x", "a\0b", None),
    ],
)
def test_content_decides_and_names_only_where_it_leaves_it_open(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert detection.of_file(tmp_path / name, FIELDS, ("en", "zh")) == (Format(expected) if isinstance(expected, str) else expected)


def test_binary_formats_are_known_by_their_marks(tmp_path):
    table = pa.table({"text": ["a"]})
    pq.write_table(table, tmp_path / "p")
    for name, opener in (("s", pa.ipc.new_stream), ("f", pa.ipc.new_file)):
        with opener(tmp_path / name, table.schema) as writer:
            writer.write_table(table)
    assert [detection.of_file(tmp_path / name, FIELDS).reader for name in "psf"] == ["parquet", "arrow", "arrow"]


def test_files_of_one_format_have_its_reader_and_others_are_read_each_by_its_own(tmp_path):
    files = [tmp_path / name for name in ("a.jsonl", "b.jsonl", "c.txt", "d.png")]
    for file, content in zip(files, (b'{"text": "a"}', b'{"text": "b"}', b"Text.", b"\x89PNG\0"), strict=True):
        file.write_bytes(content)
    assert detection.of_files(files[:2], FIELDS).reader == "jsonl"
    assert detection.of_files(files, FIELDS).reader == "auto"
    with pytest.raises(UserError, match=r"^d\.png: no reader knows its content; "):
        detection.of_files(files[3:], FIELDS)
