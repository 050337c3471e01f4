"""What a source's rows must be, and where they go."""

import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model import applications
from model.errors import UserError
from tasks import tables
from tasks.examples import canonical
from tasks.intake import columns, splits
from tasks.intake import rows as intake
from tasks.intake.sources import Source

LIMITS = intake.Limits(max_refused_share=0.05, max_row_bytes=1000)


def jsonl(folder, rows):
    file = folder / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return [file]


def nowhere(row, written):
    pass


def source(target):
    return Source(license="MIT", target=target, reader="jsonl")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"text": "fine", "label": "positive"}, None),
        ({"text": "fine"}, "label: missing"),
        ({"text": 3, "label": "positive"}, "text: expected str, got 3"),
        ({"text": "\ud83d", "label": "positive"}, "text: half of a surrogate pair, which UTF-8 cannot hold"),
    ],
)
def test_a_row_that_breaks_the_schema_has_a_reason(row, reason):
    assert columns.mismatch(row, applications.load("sentiment").SCHEMA) == reason


def test_nested_columns_are_checked_to_the_bottom():
    schema = applications.load("qa").SCHEMA
    row = {"context": "Ada.", "question": "Who?", "answers": [{"text": "Ada", "start": "0"}]}
    assert columns.mismatch(row, schema) == "answers: item 0: start: expected int, got '0'"
    assert columns.mismatch(row | {"answers": {}}, schema) == "answers: expected a list, got {}"
    assert columns.mismatch(row | {"answers": [1]}, schema) == "answers: item 0: expected an object, got 1"
    assert columns.mismatch({"tokens": ["a", 1]}, pa.schema([("tokens", pa.list_(pa.string()))])) == "tokens: item 1: expected str, got 1"


def test_refused_rows_go_to_quarantine_with_the_reason_and_repetitions_go(tmp_path):
    good = [{"text": f"text {number}", "label": "positive", "more": "ignored"} for number in range(30)]
    files = jsonl(tmp_path, [*good, {"text": " ", "label": "positive"}, good[0]])
    splits = intake.Splits("sentiment", tmp_path / "spill", 0.2, 0.2)
    taken = intake.take("reviews", source("sentiment"), files, tmp_path / "quarantine", LIMITS, splits.put)
    assert (taken.rows, taken.refused, taken.reasons) == (31, 1, {"text: empty": 1})
    assert sum(splits.write(tmp_path).values()) == 30
    assert all(set(row) == {"text", "label"} for row in tables.rows(tmp_path / "sentiment" / "train.parquet"))
    assert json.loads((tmp_path / "quarantine" / "reviews.jsonl").read_text())["reason"] == "text: empty"


def test_a_label_that_is_a_number_or_a_boolean_is_taken_as_its_text(tmp_path):
    def labels_of(reader, files):
        labels = []
        reviews = Source(license="MIT", target="sentiment", reader=reader)
        intake.take("reviews", reviews, files, tmp_path / "quarantine", LIMITS, lambda row, written: labels.append(row["label"]))
        return labels

    lines = jsonl(tmp_path, [{"text": "a text", "label": label} for label in (0, -1, True, "0", False)])
    assert labels_of("jsonl", lines) == ["0", "-1", "true", "0", "false"]
    pq.write_table(pa.table({"text": ["a", "b"], "label": pa.array([0, 2], pa.int8())}), tmp_path / "rows.parquet")
    assert labels_of("parquet", [tmp_path / "rows.parquet"]) == ["0", "2"]


@pytest.mark.parametrize("row", [{"text": 3, "label": "good"}, {"text": "a", "label": 0.5}, {"text": "a", "label": None}])
def test_other_values_that_are_no_text_are_refused(tmp_path, row):
    files = jsonl(tmp_path, [row])
    with pytest.raises(UserError, match=r"1 of 1 rows refused"):
        intake.take("reviews", source("sentiment"), files, tmp_path / "quarantine", LIMITS, nowhere)


def test_rows_that_are_refused_for_their_content_are_named_by_their_place(tmp_path):
    rows = [{"text": "fine", "label": "x"}, {"text": "", "label": "x"}, {"text": "x" * 2000, "label": "x"}]
    (tmp_path / "rows.csv").write_text("text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in rows), encoding="utf-8")
    (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    jsonl(tmp_path, rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    wanted = {"csv": ":{}", "jsonl": ":{}", "json": ", item {}", "parquet": ", row {}"}
    for reader, place in wanted.items():
        reviews, file = Source(license="MIT", target="sentiment", reader=reader), tmp_path / f"rows.{reader}"
        intake.take("reviews", reviews, [file], tmp_path / "quarantine", intake.Limits(1.0, 1000), nowhere)
        refused = [json.loads(line) for line in (tmp_path / "quarantine" / "reviews.jsonl").read_text().splitlines()]
        numbers = (3, 4) if reader == "csv" else (2, 3)
        assert [one["where"] for one in refused] == [file.name + place.format(number) for number in numbers]
        assert refused[0]["reason"] == "text: empty"


def test_too_many_refused_rows_are_one_line(tmp_path):
    files = jsonl(tmp_path, [{"text": "fine"}, {"text": ""}])
    with pytest.raises(
        UserError, match=r"^sources\.yaml: notes: 1 of 2 rows refused, more than ingest\.max_refused_share allows; .*notes\.jsonl"
    ):
        intake.take("notes", source("corpus"), files, tmp_path / "quarantine", LIMITS, nowhere)


def test_a_refused_row_is_named_in_its_own_letters(tmp_path):
    (tmp_path / "评论.jsonl").write_text('{"text": 1, "label": "\\ud800"}\n{"text": "好", "label": "x"}\n', encoding="utf-8")
    reviews = Source(license="MIT", target="sentiment", reader="jsonl")
    intake.take("评", reviews, [tmp_path / "评论.jsonl"], tmp_path / "quarantine", intake.Limits(1.0, 1000), nowhere)
    assert '"where": "评论.jsonl:1"' in (tmp_path / "quarantine/评.jsonl").read_text(encoding="utf-8")


def test_one_fault_is_counted_as_one_whatever_the_values(tmp_path):
    rows = [{"text": number, "label": "x"} for number in range(3)] + [{"text": "fine", "label": [1]}, {"text": "fine", "label": "x"}]
    reviews = Source(license="MIT", target="sentiment", reader="jsonl")
    taken = intake.take("reviews", reviews, jsonl(tmp_path, rows), tmp_path / "quarantine", intake.Limits(1.0, 1000), nowhere)
    assert taken.reasons == {"text: expected str": 3, "label: expected str, got [1]": 1}


def test_a_source_without_rows_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"^sources\.yaml: notes: no rows in its 1 files; "):
        intake.take("notes", source("corpus"), jsonl(tmp_path, []), tmp_path / "quarantine", LIMITS, nowhere)


def test_nothing_moves_between_splits_when_data_grows_and_shares_hold():
    keys = [f"key {number}" for number in range(5000)]
    found = {key: splits.split_of(key, 0.1, 0.1) for key in keys}
    parts = list(found.values())
    assert [round(parts.count(split) / 5000, 1) for split in ("train", "validation", "test")] == [0.8, 0.1, 0.1]
    assert splits.split_of("key 7", 0.1, 0.1) == found["key 7"]


def test_rows_of_one_passage_stand_in_one_split_and_order_does_not_matter(tmp_path):
    rows = [
        {"context": f"Passage {number}.", "question": f"{word}?", "answers": []} for number in range(60) for word in ("one", "one", "two")
    ]
    files = []
    for place, order in enumerate((rows, rows[::-1])):
        (tmp_path / str(place)).mkdir()
        made = intake.Splits("qa", tmp_path / "spill", 0.2, 0.2)
        intake.take("passages", source("qa"), jsonl(tmp_path / str(place), order), tmp_path / "quarantine", LIMITS, made.put)
        made.write(tmp_path / str(place))
        files.append([(tmp_path / str(place) / "qa" / f"{split}.parquet") for split in splits.SPLITS])
    assert [file.read_bytes() for file in files[0]] == [file.read_bytes() for file in files[1]]
    contexts = [{row["context"] for row in tables.rows(file)} for file in files[0]]
    assert all(contexts)
    assert len(set.union(*contexts)) == sum(map(len, contexts)) == 60


def test_a_split_without_rows_is_one_line(tmp_path):
    made = intake.Splits("sentiment", tmp_path / "spill", 0.1, 0.1)
    intake.take("few", source("sentiment"), jsonl(tmp_path, [{"text": "a", "label": "b"}]), tmp_path / "quarantine", LIMITS, made.put)
    with pytest.raises(UserError, match=r"^data/sentiment/\w+: no rows out of 1; "):
        made.write(tmp_path)


def test_a_row_that_is_too_large_is_refused_with_its_size(tmp_path):
    files = jsonl(tmp_path, [{"text": "short"}] * 30 + [{"text": "x" * 2000}])
    rows = []
    taken = intake.take("notes", source("corpus"), files, tmp_path / "quarantine", LIMITS, lambda row, written: rows.append(row))
    assert len(rows) == taken.rows == 30
    assert list(taken.reasons) == ["2,063 bytes, more than ingest.max_row_bytes allows"]


def test_a_large_source_becomes_several_files_in_the_order_of_their_hashes(tmp_path, monkeypatch):
    monkeypatch.setattr(intake, "SHARD", 5000)
    corpus = intake.Corpus("notes", tmp_path / "spill")
    files = jsonl(tmp_path, [{"text": f"note {number}"} for number in range(200)])
    intake.take("notes", source("corpus"), files, tmp_path / "quarantine", LIMITS, corpus.put)
    counts = corpus.write(tmp_path)
    assert list(counts)[:2] == ["corpus/notes-00001.parquet", "corpus/notes-00002.parquet"]
    assert sum(counts.values()) == 200
    rows = [row for file in counts for row in tables.rows(tmp_path / file)]
    assert rows == sorted(rows, key=lambda row: hashlib.sha256(canonical(row).encode()).digest())
