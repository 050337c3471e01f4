"""What differs between two tables of rows."""

import io
import random
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.row_changes import compare

SCHEMA = pa.schema([("text", pa.string()), ("label", pa.string()), ("lang", pa.string())])


def file(rows, schema=SCHEMA):
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink, row_group_size=7)
    content = sink.getvalue()
    return str(hash(content)), lambda: io.BytesIO(content)


def row(number, label="good"):
    return {"text": f"text {number}", "label": label, "lang": "en"}


def text(row):
    return row["text"]


def test_rows_are_added_removed_and_changed():
    before = [row(number) for number in range(10)]
    after = [row(number) for number in range(2, 9)] + [row(9, "bad"), row(10), row(11), row(12)]
    found = compare([file(before)], [file(after[::-1])], text, num_samples=2)
    assert (found.added, found.removed, found.changed) == (3, 2, 1)
    assert sorted(map(text, found.samples["removed"])) == ["text 0", "text 1"]
    assert len(found.samples["added"]) == 2
    assert found.samples["changed"] == [[row(9), row(9, "bad")]]


def test_without_a_key_a_change_is_a_row_less_and_a_row_more():
    found = compare([file([row(1)])], [file([row(1, "bad")])], None, num_samples=3)
    assert (found.added, found.removed, found.changed) == (1, 1, 0)


def test_what_rows_are_cut_into_makes_no_difference():
    rows = [row(number) for number in range(50)]
    found = compare([file(rows)], [file(rows[30:]), file(rows[:30])], text, num_samples=3)
    assert (found.added, found.removed, found.changed) == (0, 0, 0)
    assert found.samples == {"added": [], "removed": [], "changed": []}


def test_statistics_of_both_sides():
    found = compare([file([row(1), row(2, "bad")])], [file([row(1)])], text, num_samples=0)
    assert (found.before.rows, found.after.rows) == (2, 1)
    assert found.before.characters == 2 * len("text 1") + len("goodbad") + 4
    assert found.before.values == {"lang": {"en": 2}, "label": {"good": 1, "bad": 1}}


def test_a_side_may_be_empty_and_a_column_new():
    assert compare([], [file([row(1)])], text, num_samples=1).added == 1
    assert compare([file([row(1)])], [], text, num_samples=1).removed == 1
    narrow = [{"text": "text 1", "label": "good"}]
    found = compare([file(narrow, SCHEMA.remove(2))], [file([row(1)])], text, num_samples=1)
    assert (found.added, found.removed, found.changed) == (0, 0, 1)


def test_the_roles_of_spans_are_counted():
    schema = pa.schema([("tags", pa.list_(pa.string()))])
    found = compare([], [file([{"tags": ["B-A0", "I-A0", "B-V", "O"]}, {"tags": ["B-V"]}], schema)], None, num_samples=0)
    assert found.after.values == {"tags": {"B-A0": 1, "B-V": 2}}


@pytest.mark.parametrize("seed", range(20))
def test_counts_are_those_of_multisets(seed):
    draw = random.Random(seed)
    before, after = ([row(draw.randrange(6), draw.choice("ab")) for _ in range(draw.randrange(40))] for _ in range(2))
    counts = [Counter((one["text"], one["label"]) for one in rows) for rows in (before, after)]
    removed, added = counts[0] - counts[1], counts[1] - counts[0]
    keys = [Counter(key for (key, _), count in side.items() for _ in range(count)) for side in (removed, added)]
    changed = (keys[0] & keys[1]).total()
    found = compare([file(before)], [file(after)], text, num_samples=1)
    assert (found.added, found.removed, found.changed) == (added.total() - changed, removed.total() - changed, changed)
