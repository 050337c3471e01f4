"""Rows sorted and freed of repetitions by way of the disk."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.intake import spill
from tasks.intake.spill import Spill


def by_hash(rows):
    return sorted(set(rows), key=lambda row: hashlib.sha256(row).digest())


@pytest.mark.parametrize(("held", "in_memory"), [(1 << 24, 1 << 26), (2000, 1 << 26), (2000, 300)])
def test_it_does_not_matter_how_much_fits_into_memory(tmp_path, monkeypatch, held, in_memory):
    monkeypatch.setattr(spill, "HELD", held)
    monkeypatch.setattr(spill, "SORTED", in_memory)
    rows = [f"row {number % 700}".encode() * (number % 7 + 1) for number in range(3000)]
    parts = Spill(tmp_path / "parts")
    for row in rows:
        parts.add(row)
    assert (tmp_path / "parts").exists() == (held == 2000)
    assert list(parts.drain()) == by_hash(rows)
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=30)), st.integers(1, 500))
def test_any_rows_come_back_once_in_the_order_of_their_hashes(tmp_path_factory, rows, held):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spill, "HELD", held)
        parts = Spill(tmp_path_factory.mktemp("spill"))
        for row in rows:
            parts.add(row)
        assert list(parts.drain()) == by_hash(rows)
