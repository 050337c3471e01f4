"""The file of token blocks is mapped, not loaded; what is read of it is what was written; a damaged one is a line."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import UserError
from model.packing import pack
from model.vocabulary import CLS, END, SEP
from tasks import blocks

CONTEXT = 8
DOCUMENTS = st.lists(st.lists(st.integers(6, 99), max_size=20), min_size=1, max_size=12)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "TOKENS_AT_ONCE", 3 * CONTEXT)


def written(documents: Sequence[Sequence[int]], file: Path) -> blocks.MappedBlocks:
    blocks.write(pack(([END, *ids, END] for ids in documents), CONTEXT), file, CONTEXT, 100)
    return blocks.read(file)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written([range(6, 60), [], range(6, 50)], tmp_path / "blocks.arrow")
    return tmp_path / "blocks.arrow"


def test_reading_maps_the_file_and_loads_nothing_of_it(file: Path) -> None:
    mapped = blocks.read(file)
    regions = [line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(str(file))]
    assert len(mapped.tokens) == 5
    for array in (*mapped.tokens, *mapped.documents):
        assert array.itemsize == 2
        assert not array.flags.writeable
        assert any(int(start, 16) <= array.__array_interface__["data"][0] < int(end, 16) for start, end in regions)


@settings(max_examples=50, deadline=None)
@given(documents=DOCUMENTS, shuffle=st.randoms(use_true_random=False))
def test_rows_portions_and_documents_are_those_that_were_packed(documents: list[list[int]], shuffle, tmp_path_factory) -> None:
    mapped = written(documents, tmp_path_factory.getbasetemp() / "random.arrow")
    tokens, indices = (np.array(column) for column in zip(*pack(([END, *ids, END] for ids in documents), CONTEXT), strict=True))
    places = list(range(len(mapped)))
    shuffle.shuffle(places)
    assert np.array_equal(mapped.rows(places).tokens, tokens[places])
    assert np.array_equal(mapped.rows(places).documents, indices[places])
    assert mapped.rows(places).tokens.dtype == mapped.rows(places).documents.dtype == np.int64
    some = list(mapped.portions(4))
    assert np.array_equal(np.concatenate([portion.tokens for portion in some]), tokens[:4])
    assert [found.tolist() for found in blocks.documents(mapped.portions())] == [[END, *ids, END] for ids in documents]
    counted = blocks.frequencies((portion.tokens for portion in mapped.portions()), 10)
    assert np.array_equal(counted, np.bincount(tokens.ravel(), minlength=10))


@settings(max_examples=100, deadline=None)
@given(documents=DOCUMENTS)
def test_the_ends_seen_in_each_block_alone_are_those_that_take_turns_in_all(documents: list[list[int]], tmp_path_factory) -> None:
    mapped = written(documents, tmp_path_factory.getbasetemp() / "random.arrow")
    stored = mapped.rows(range(len(mapped)))
    turns = stored.tokens.flatten()
    ends = np.flatnonzero(turns == END)
    turns[ends[::2]], turns[ends[1::2]] = CLS, SEP
    own = replace(mapped, ends=(CLS, SEP))
    assert np.array_equal(own.rows(range(len(own))).tokens, turns.reshape(stored.tokens.shape))
    assert np.array_equal(own.rows([len(own) - 1]).tokens[0], turns[-CONTEXT:])


def test_a_file_cut_short_anywhere_is_one_line(file: Path) -> None:
    content = file.read_bytes()
    for length in (*range(0, len(content), 97), len(content) - 1):
        file.unlink()  # what was read before is mapped still
        file.write_bytes(content[:length])
        with pytest.raises(UserError, match=r"^.*blocks.arrow: cannot be read \(.*\); `stemma run --force tokenizer` writes it again$"):
            blocks.read(file)


def test_a_damaged_file_is_one_line_or_has_other_tokens(file: Path) -> None:
    content, random, said = file.read_bytes(), np.random.default_rng(1), []
    for _ in range(500):
        damaged = np.frombuffer(content, dtype=np.uint8).copy()
        damaged[random.integers(len(damaged), size=3)] = random.integers(256, size=3)
        file.unlink()
        file.write_bytes(damaged.tobytes())
        try:
            mapped = blocks.read(file)
        except UserError as error:
            said.append(str(error))
        else:
            assert mapped.rows(range(len(mapped))).tokens.shape == (len(mapped), CONTEXT)
    assert said
    assert not [message for message in said if "\n" in message]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"input_ids": [[6] * CONTEXT]}, "documents"),
        ({"input_ids": [[6] * CONTEXT], "documents": [None]}, "documents has gaps"),
        ({"input_ids": [[6] * CONTEXT], "documents": [["a"] * CONTEXT]}, "documents is fixed_size_list"),
        ({"input_ids": [[6] * CONTEXT], "documents": [[0]]}, "not of one size"),
        ({"input_ids": [[6] * CONTEXT] * 9, "documents": [[0] * CONTEXT] * 9}, None),
        ({"input_ids": [], "documents": []}, "no blocks"),
    ],
)
def test_other_columns_are_one_line(columns: dict[str, list], told: str | None, tmp_path: Path) -> None:
    def kind(rows: list) -> pa.DataType:
        row = (rows or [None])[0] or [0] * CONTEXT
        return pa.list_(pa.string() if isinstance(row[0], str) else pa.int16(), len(row))

    table = pa.table({name: pa.array(rows, kind(rows)) for name, rows in columns.items()})
    with pa.ipc.new_file(tmp_path / "other.arrow", table.schema) as writer:
        writer.write_table(table)
    if told is None:
        assert len(blocks.read(tmp_path / "other.arrow")) == 9
    else:
        with pytest.raises(UserError, match=rf"other.arrow: cannot be read \(.*{told}.*\); `stemma run --force tokenizer`"):
            blocks.read(tmp_path / "other.arrow")


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone.arrow: cannot be read \(.*No such file.*\); `stemma run --force tokenizer` writes it again"):
        blocks.read(tmp_path / "gone.arrow")
