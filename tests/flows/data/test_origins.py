"""What a person points at: its bytes, kept; a full disk, a damaged copy and odd names are no tracebacks and blame nobody else."""

import gzip
import resource
from contextlib import contextmanager

import pytest

from flows.data import origins, unpacking
from model.errors import UserError
from tasks.intake.sources import Source

FULL = "File too large"
LIMITS = unpacking.Limits(10**9, 100.0, 1000, 3)


@contextmanager
def a_full_disk():
    """No file may grow beyond ten bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", ["file", "folder", "address"])
def test_a_full_disk_is_not_told_as_something_that_cannot_be_read(tmp_path, served, kind):
    folder, place = served
    (folder / "one.txt").write_text("More than ten bytes.", encoding="utf-8")
    (folder / "two.txt").write_text("More of them.", encoding="utf-8")
    given = {"file": folder / "one.txt", "folder": folder, "address": f"{place}/one.txt"}[kind]
    with a_full_disk(), pytest.raises(OSError, match=FULL):
        origins.keep(tmp_path, tmp_path, [str(given)], 1000)


def test_a_full_disk_is_not_told_as_a_damaged_archive(tmp_path):
    (tmp_path / "notes.txt.gz").write_bytes(gzip.compress(b"More than ten bytes."))
    with a_full_disk(), pytest.raises(OSError, match=FULL):
        unpacking.unpack(tmp_path / "notes.txt.gz", "notes.txt.gz", tmp_path / "out", LIMITS)


def test_a_damaged_copy_is_kept_anew_and_the_file_it_is_of_is_not_blamed(tmp_path):
    (tmp_path / "two.csv").write_text("text,label\n", encoding="utf-8")
    first = origins.keep(tmp_path, tmp_path, [str(tmp_path / "two.csv")], 1000)
    source = Source(license="own", target="sentiment", sha256=first.sha256, uri=first.uri)
    first.file.write_bytes(b"damaged")
    assert origins.kept(tmp_path, tmp_path, "two", source, 1000) == first
    assert first.file.read_text(encoding="utf-8") == "text,label\n"
    first.file.write_bytes(b"damaged")
    (tmp_path / "two.csv").write_text("others", encoding="utf-8")
    with pytest.raises(UserError, match=r"^sources\.yaml: two: sha256 differs, recorded \w+, got \w+ from two\.csv; put the old bytes"):
        origins.kept(tmp_path, tmp_path, "two", source, 1000)
    assert not first.file.exists()


@pytest.mark.parametrize("place", ["raw/two.csv", "raw/texts"])
def test_where_neither_a_copy_nor_the_file_is_there_its_place_is_named(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    source = Source(license="own", target="sentiment", sha256="0" * 64, uri=place)
    told = rf"^sources\.yaml: two: its bytes are not kept on this machine, and {tmp_path}/{place}: no such file or folder; put it there$"
    with pytest.raises(UserError, match=told):
        origins.kept(tmp_path, tmp_path, "two", source, 1000)
