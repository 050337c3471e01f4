"""Prepare: what it removes, what it keeps, and that nothing of a test split stays."""

import json
from pathlib import Path

import pytest

from model import applications
from model.errors import UserError
from tasks import params, prepare, tables
from tasks.cleaning import text as cleaning
from tasks.intake import columns
from tasks.session import Session

STEPS = ["unicode", "length", "boilerplate", "language", "quality", "personal", "duplicates", "test_splits", "near_duplicates"]


def numbers_of(**changes):
    """The numbers of params.yaml, small ones for a small corpus, with `changes`."""
    section = params.section(params.read(Path(__file__).parents[2] / "params.yaml"), "prepare")
    section["length"] |= {"min_characters": 10, "max_characters": 2000}
    return params.build(prepare.Params, section | {"validation_share": 0.3} | changes, "prepare")


PARAMS = numbers_of()

HELD_OUT = "The council voted on Monday to close the old northern bridge for two years of repairs, said the mayor."
HELD_OUT_ZH = "大桥于一九三二年建成通车至今承载着两条铁路轨道和四条行车道路每天有数万人经过"


WORDS = ["the harbour", "old bridges", "the mayor", "green boats", "winter", "a letter", "her brother"]


PAIRS = [(one, other) for one in WORDS for other in WORDS if one != other]


def session(folder):
    return Session(folder, lambda step, values: None, lambda done, total: None)


def put(folder, target, rows, schema, split=None):
    tables.write(folder / target / f"{split or 'notes'}.parquet", rows, schema)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    texts = [
        f"Document number {number} speaks of {WORDS[number % 7]} and {WORDS[number // 7]}, {number} times over." for number in range(40)
    ]
    texts += ["short", "  Cafe\u0301\tau\r\nlait\u200b is\x07 served \n\n\n\n here. ", texts[0]]
    texts += [
        f"Before. {HELD_OUT.upper().replace(' ', '  ')} After.",
        f"前文，{HELD_OUT_ZH[:20]}。{HELD_OUT_ZH[20:]}",
        "中文的文章没有语言标记。",
        "Write to ada@example.org or call 13812345678, she said with a smile.",
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
    assert len(rows) == len(found) == 43
    assert "Café au\nlait is served\n\nhere." in found
    assert found["中文的文章没有语言标记。"] == "zh"
    assert not [text for text in found if "council" in text.lower() or "大桥" in text]
    assert "Write to [EMAIL] or call [PHONE], she said with a smile." in found
    assert {step: numbers[f"corpus_removed_{step}"] for step in STEPS if numbers[f"corpus_removed_{step}"]} == {
        "length": 1,
        "duplicates": 1,
        "test_splits": 2,
    }


def test_the_report_shows_each_step_with_counts_and_samples_and_no_personal_data(data, tmp_path):
    prepare.run(data, tmp_path / "out", params=PARAMS, session=session(tmp_path))
    text = (tmp_path / "out" / "report.json").read_text(encoding="utf-8")
    steps = {step["step"]: step for step in json.loads(text)["corpus"]["steps"]}
    assert list(steps) == STEPS
    assert steps["length"]["samples"] == [{"why": "too short", "text": "short"}]
    assert steps["unicode"]["changed"] == 2
    assert steps["personal"]["found"] == {"email": 1, "phone": 1}
    assert (steps["test_splits"]["in"], steps["test_splits"]["out"]) == (45, 43)
    assert steps["test_splits"]["samples"][0]["text"].split() == HELD_OUT.lower().split()[:13]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "ada@example.org" not in text + page
    assert "12345678" not in text + page


def test_what_was_removed_for_a_test_split_is_listed_with_the_text_it_shares(data, tmp_path):
    prepare.run(data, tmp_path / "out", params=PARAMS, session=session(tmp_path))
    rows = texts(tmp_path / "out", "contamination.parquet")
    assert [(row["part"], row["test_split_of"]) for row in rows] == [
        ("corpus", "summarization"),
        ("corpus", "sentiment"),
        ("sentiment/validation", "sentiment"),
        ("sentiment/train", "sentiment"),
        ("summarization/validation", "summarization"),
        ("summarization/train", "summarization"),
    ]
    assert rows[1]["passage"].replace("。", "") == HELD_OUT_ZH[:20]


def test_a_line_that_the_report_shows_as_boilerplate_is_masked_too(tmp_path):
    line = "Editor: ada@example.org"
    rows = [f"{subject.capitalize()} was seen by {other} near {number} houses.\n{line}" for number, (subject, other) in enumerate(PAIRS)]
    put(tmp_path / "data", "corpus", [{"text": row, "source": "s", "license": None, "lang": "en"} for row in rows], columns.corpus())
    prepare.run(tmp_path / "data", tmp_path / "out", params=PARAMS, session=session(tmp_path))
    report = (tmp_path / "out" / "report.json").read_text(encoding="utf-8")
    assert json.loads(report)["corpus"]["steps"][STEPS.index("boilerplate")]["found"] == {"Editor: [EMAIL]": len(rows) - 1}
    assert "ada@" not in report


@pytest.mark.parametrize("step", STEPS)
def test_each_step_can_be_switched_off(data, tmp_path, step):
    section = params.section(params.read(Path(__file__).parents[2] / "params.yaml"), "prepare")
    without = numbers_of(**{step: section[step] | {"enabled": False}})
    numbers = prepare.run(data, tmp_path / "out", params=without, session=session(tmp_path))
    assert {name.removeprefix("corpus_removed_") for name in numbers if name.startswith("corpus_removed_")} == {*STEPS} - {step}


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


def test_cleaning_moves_the_places_of_answers_with_the_text():
    row = {"context": " A\u0301 b\t\tc  Ada  Lovelace. ", "question": "Who?", "answers": [{"text": "Ada  Lovelace", "start": 10}]}
    assert row["context"][10:].startswith("Ada")
    clean = cleaning.clean_row(row, cleaning.normalize)
    assert clean["answers"] == [{"text": "Ada Lovelace", "start": clean["context"].index("Ada")}]


@pytest.mark.parametrize("text", ["a \n\n\n b", "e\u0301\u200b ", "\ufeffx\x00\x85y", "a\r\n\r\nb \u3000 c"])
def test_normalizing_twice_changes_nothing(text):
    assert cleaning.normalize(cleaning.normalize(text)) == cleaning.normalize(text)
