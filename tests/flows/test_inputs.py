"""What people type or write into a file, as rows."""

from pathlib import Path

import pytest

from flows import inputs
from model import applications
from model.errors import UserError

SENTIMENT, QA, SRL = (applications.load(name) for name in ("sentiment", "qa", "srl"))


def test_a_text_is_a_row_even_if_it_looks_like_something_else() -> None:
    assert inputs.from_arguments(SENTIMENT, ["a=b", "{so it goes}"]) == [{"text": "a=b"}, {"text": "{so it goes}"}]


def test_columns_come_in_any_order_and_a_repeated_one_begins_the_next_row() -> None:
    typed = ["question=Who?", "context=She did.", "context=He = I", '{"question": "Why?"}']
    assert inputs.from_arguments(QA, typed) == [
        {"context": "She did.", "question": "Who?"},
        {"context": "He = I", "question": "Why?"},
    ]


def test_words_are_split_at_spaces_or_stand_in_a_list() -> None:
    row = {"tokens": ["She", "left", "."], "predicate": 1}
    assert inputs.from_arguments(SRL, ["tokens=She left .", "predicate=1"]) == [row]
    assert inputs.from_arguments(SRL, ['{"tokens": ["She", "left", "."], "predicate": 1}']) == [row]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["context=a", "question=b", "answer=c"], r"^answer: no such input; this application has context, question$"),
        (["Who?"], r'Who\?: this application has several inputs, each an argument; write "context=..." "question=...", or a JSON object'),
        (["context=He left. question=Who?"], "each an argument; write"),
        (["question=Who?"], "input 1: context is missing; this application needs context, question"),
        (["question= ", "context=She did."], "input 1: question is empty, so there is nothing to answer; leave it out, or fill it in"),
        (['{"question": '], r'argument: {"question": is not JSON'),
        (['{"question": 1, "context": "x"}'], "input 1: question is 1, and should be text; change it"),
    ],
)
def test_a_wrong_input_is_named(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        inputs.from_arguments(QA, arguments)


def test_a_predicate_that_is_no_number_is_named() -> None:
    with pytest.raises(UserError, match="input 1: predicate is 'left', and should be a whole number"):
        inputs.from_arguments(SRL, ["tokens=She left", "predicate=left"])
    with pytest.raises(UserError, match="input 1: tokens is empty"):
        inputs.from_arguments(SRL, ["tokens=", "predicate=1"])


def test_files_of_each_format_give_the_same_rows(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"text": "good, 好"}, {"text": "bad"}]
    (tmp_path / "a.txt").write_text("good, 好\n\nbad\n", encoding="utf-8")
    (tmp_path / "a.jsonl").write_text('{"text": "good, 好", "id": 1}\n{"text": "bad"}\n', encoding="utf-8")
    (tmp_path / "a.csv").write_text('id,text\n1,"good, 好"\n2,bad\n', encoding="utf-8-sig")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    for suffix in ("txt", "jsonl", "csv", "parquet"):
        assert inputs.from_file(SENTIMENT, tmp_path / f"a.{suffix}") == rows


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "x"}\n[1]\n', r"a.jsonl: line 2: \[1\] is not a JSON object"),
        ("a.jsonl", b'{"text": "x"}\n{}\n', "a.jsonl: row 2: no text, there is nothing; "),
        ("a.csv", b"words\nx\n", "a.csv: row 1: no text, there is words; `--column text=NAME` says which one is meant$"),
        ("a.jsonl", b'{"text": null}', "a.jsonl: row 1: text is missing; this application needs text$"),
        ("a.txt", b"\xff\xfe", "a.txt: not UTF-8 at byte 0"),
        ("a.parquet", b"PAR1", "a.parquet: not a readable Parquet file"),
        ("a.docx", b"", "a.docx: cannot read .docx; use one of .txt, .jsonl, .csv, .parquet"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_place(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        inputs.from_file(SENTIMENT, tmp_path / name)


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("内容,id\n好,1\n", encoding="utf-8")
    assert inputs.from_file(SENTIMENT, tmp_path / "a.csv", {"text": "内容"}) == [{"text": "好"}]
    with pytest.raises(UserError, match="--column label: no such input; this application has text"):
        inputs.from_file(SENTIMENT, tmp_path / "a.csv", {"label": "id"})


def test_a_missing_file_and_lines_for_several_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r": a folder; give one of its files"):
        inputs.from_file(QA, tmp_path)
    with pytest.raises(UserError, match=r"none\.txt: no such file"):
        inputs.from_file(QA, tmp_path / "none.txt")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(UserError, match="a line of text is no input with the columns context, question"):
        inputs.from_file(QA, tmp_path / "a.txt")
