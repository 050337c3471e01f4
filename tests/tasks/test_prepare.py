"""Prepare: what it removes, what it keeps, and that nothing of a test split stays."""

import json

import pytest

from model import applications
from model.errors import UserError
from tasks import cleaning, columns, prepare, tables
from tasks.overlap import Passages, texts_of
from tasks.session import Session

PARAMS = prepare.Params(min_characters=10, max_characters=2000, validation_share=0.3, num_threads=1)

HELD_OUT = "The council voted on Monday to close the old northern bridge for two years of repairs, said the mayor."
HELD_OUT_ZH = "大桥于一九三二年建成通车至今承载着两条铁路轨道和四条行车道路每天有数万人经过"


def session(folder):
    return Session(folder, lambda step, values: None, lambda done, total: None)


def put(folder, target, rows, schema, split=None):
    tables.write(folder / target / f"{split or 'notes'}.parquet", rows, schema)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    texts = [f"Document number {number} speaks of its own matter, {number * 7} times over." for number in range(40)]
    texts += ["short", "  Cafe\u0301\tau\r\nlait\u200b is\x07 served \n\n\n\n here. ", texts[0]]
    texts += [
        f"Before. {HELD_OUT.upper().replace(' ', '  ')} After.",
        f"前文，{HELD_OUT_ZH[:20]}。{HELD_OUT_ZH[20:]}",
        "中文的文章没有语言标记。",
    ]
    put(folder, "corpus", [{"text": text, "source": "notes", "license": "MIT", "lang": None} for text in texts], columns.corpus())
    schema = applications.load("summarization").SCHEMA
    for split, first in (("train", 0), ("validation", 100), ("test", 200)):
        rows = [{"document": f"News item {n} tells one thing.", "summary": f"Item {n}."} for n in range(first, first + 5)]
        rows += [{"document": HELD_OUT if split == "test" else f"Copied: {HELD_OUT}", "summary": f"{split}."}]
        put(folder, "summarization", rows, schema, split)
    schema = applications.load("sentiment").SCHEMA
    for split, mark in (("train", "a"), ("validation", "b"), ("test", "c")):
        rows = [{"text": f"Text {mark}{number}", "label": "positive"} for number in range(4)] + [{"text": "Wow!", "label": split}]
        put(folder, "sentiment", rows + ([{"text": HELD_OUT_ZH, "label": "neutral"}] if split == "test" else []), schema, split)
    (folder / "sources.json").write_text(
        json.dumps(
            {"sources": {"own": {"target": "sentiment", "synthetic": True}, "real": {"target": "summarization", "synthetic": False}}}
        )
    )
    return folder


def texts(out, *files):
    return [row for file in files for row in tables.rows(out / file)]


def test_documents_are_clean_distinct_long_enough_and_free_of_test_passages(data, tmp_path):
    numbers = prepare.run(data, tmp_path / "out", params=PARAMS, session=session(tmp_path))
    rows = texts(tmp_path / "out", "corpus/train.parquet", "corpus/validation.parquet")
    found = {row["text"]: row["lang"] for row in rows}
    assert len(rows) == len(found) == 42
    assert found["Café au\nlait is served\n\nhere."] == "en"
    assert found["中文的文章没有语言标记。"] == "zh"
    assert not [text for text in found if "council" in text.lower() or "大桥" in text]
    assert {key: numbers[f"corpus_removed_{key}"] for key in ("length", "duplicates", "test_splits")} == {
        "length": 1,
        "duplicates": 1,
        "test_splits": 2,
    }
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["corpus"][-1] | {"samples": None} == {"step": "test splits", "in": 44, "out": 42, "removed": 2, "samples": None}
    assert report["corpus"][-1]["samples"][0] == "the council voted on monday to close the old northern bridge for two"


def test_examples_for_training_lose_what_a_test_split_of_any_application_holds(data, tmp_path):
    out = tmp_path / "out"
    prepare.run(data, out, params=PARAMS, session=session(tmp_path))
    for split in ("train", "validation"):
        assert not [row for row in texts(out, f"summarization/{split}.parquet") if "council" in row["document"]]
        assert not [row for row in texts(out, f"sentiment/{split}.parquet") if row["text"] == "Wow!"]
    assert len(texts(out, "summarization/test.parquet")) == 6
    assert tables.schema(out / "sentiment" / "train.parquet") == applications.load("sentiment").SCHEMA


def test_the_sources_of_each_application_say_whether_they_are_synthetic(data, tmp_path):
    prepare.run(data, tmp_path / "out", params=PARAMS, session=session(tmp_path))
    assert json.loads((tmp_path / "out/sentiment/sources.json").read_text()) == {"synthetic": True, "sources": ["own"]}
    assert json.loads((tmp_path / "out/summarization/sources.json").read_text()) == {"synthetic": False, "sources": ["real"]}


def test_two_runs_give_the_same_bytes_and_leave_nothing_of_earlier_ones(data, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "stale").mkdir(parents=True)
        prepare.run(data, tmp_path / name, params=PARAMS, session=session(tmp_path))
    one, two = (
        {file.relative_to(tmp_path / name): file.read_bytes() for file in (tmp_path / name).rglob("*.*")} for name in ("one", "two")
    )
    assert one == two
    assert not (tmp_path / "one" / "stale").exists()


def test_a_truncated_file_is_one_line_that_names_it(data, tmp_path):
    file = data / "sentiment" / "train.parquet"
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(UserError, match=r"data/sentiment/train\.parquet: truncated or not a Parquet file"):
        prepare.run(data, tmp_path / "out", params=PARAMS, session=session(tmp_path))


def test_an_application_without_rows_is_one_line(data, tmp_path):
    put(data, "sentiment", [], applications.load("sentiment").SCHEMA, "train")
    with pytest.raises(UserError, match=r"data/sentiment/train\.parquet: none of its 0 rows is left for train; ingest more for sentiment$"):
        prepare.run(data, tmp_path / "out", params=PARAMS, session=session(tmp_path))


def test_a_corpus_without_documents_is_one_line(data, tmp_path):
    put(data, "corpus", [], columns.corpus())
    with pytest.raises(UserError, match=r"^data/corpus: no document for train is left of 0; "):
        prepare.run(data, tmp_path / "out", params=PARAMS, session=session(tmp_path))


def test_normalizing_moves_the_places_of_answers_with_the_text():
    row = {"context": " A\u0301 b\t\tc  Ada  Lovelace. ", "question": "Who?", "answers": [{"text": "Ada  Lovelace", "start": 10}]}
    assert row["context"][10:].startswith("Ada")
    clean = cleaning.normalize_row(row)
    assert clean["answers"] == [{"text": "Ada Lovelace", "start": clean["context"].index("Ada")}]


@pytest.mark.parametrize("text", ["a \n\n\n b", "e\u0301\u200b ", "\ufeffx\x00\x85y", "a\r\n\r\nb \u3000 c"])
def test_normalizing_twice_changes_nothing(text):
    assert cleaning.normalize(cleaning.normalize(text)) == cleaning.normalize(text)


def test_a_passage_is_thirteen_words_or_twenty_characters_whatever_the_case_and_punctuation():
    words = [f"word{number}" for number in range(20)]
    passages = Passages([[" ".join(words)], [HELD_OUT_ZH]])
    assert passages.find(["x " + ", ".join(words[3:16]).upper()]) == " ".join(words[3:16])
    assert passages.find([" ".join(words[3:15])]) is None
    assert passages.find([f"一{HELD_OUT_ZH[5:25]}二"]) == HELD_OUT_ZH[5:25]
    assert passages.find([HELD_OUT_ZH[5:24]]) is None


def test_a_short_text_counts_only_as_a_whole_and_only_the_main_one():
    passages = Passages([["Wow!", "positive"]])
    assert passages.find(["WOW", "x"]) == "WOW"
    assert passages.find(["Wow, positive"]) is None
    assert passages.find(["other", "Wow!"]) is None


def test_tags_are_no_text():
    assert texts_of({"tokens": ["A", "b"], "predicate": 1, "tags": ["O"] * 20}) == ["A b"]
    assert texts_of({"context": "c", "question": "q", "answers": []}) == ["c", "q"]
