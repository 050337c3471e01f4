"""`stemma ingest --forget`: the records go, stay away, and nobody is told that no copy is left where one is."""

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from flows.data import forgetting
from flows.data import versions as data_versions
from flows.data.additions import Wish, add
from flows.data.ingest import ingest
from flows.history import rollback
from model.errors import UserError
from tasks import tables
from tasks.intake import sources
from tasks.intake.forgotten import hash_of_text

from .conftest import own_data

pytestmark = pytest.mark.e2e  # data versions of a real DVC and git repository

PARAMS = """
ingest:
  {validation_share: 0.2, test_share: 0.2, max_refused_share: 0.1, max_row_bytes: 100000, max_unpacked_bytes: 300000000,
   max_unpacked_ratio: 100, max_files: 1000, max_nesting: 3}
"""


def quiet(line):
    pass


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Sixty reviews, and a text in whose second paragraph one of them stands again."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "dvc"))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").write_text("[core]\n    analytics = false\n", encoding="utf-8")
    (root / ".gitignore").write_text("/data/\n/.stemma/\n", encoding="utf-8")
    (root / "params.yaml").write_text(PARAMS, encoding="utf-8")
    (root / "sources.yaml").write_text("archives: {}\nsources: {}\n", encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    monkeypatch.chdir(root)
    rows = [{"text": f"Review {number} is what it is.", "label": "good" if number % 2 else "bad"} for number in range(60)]
    Path("reviews.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    Path("notes.txt").write_text(
        "A note.\n\nReview 7 is what it is.\n" + "\n\n".join(f"{'x' * 3990} {n}" for n in range(3)), encoding="utf-8"
    )
    add(root, ["reviews.jsonl"], Wish(target="sentiment"), say=quiet)
    add(root, ["notes.txt"], Wish(target="corpus"), say=quiet)
    return root


def everything(root):
    return {row["text"] for file in (root / "data").glob("*/*.parquet") for row in tables.rows(file)}


def written(*records):
    Path("records").write_text("\n".join(records), encoding="utf-8")
    return Path("records")


def forget(root, *records):
    return forgetting.forget(root, written(*records), say=quiet)


def test_a_record_goes_from_every_part_and_what_remains_is_told(root):
    before = data_versions.in_use(root)
    found = forget(root, "  Review 7 is   what it is.", json.dumps({"text": "Review 8 is what it is.", "label": "bad"}), "Never seen.")
    assert (found.num_records, found.num_found, sum(found.removed.values())) == (3, 2, 3)
    texts = everything(root)
    assert not [text for text in texts if "Review 7 " in text or "Review 8 " in text]
    assert "Review 9 is what it is." in texts
    assert before.hash in found.copies.versions
    assert f"data versions in the DVC cache and wherever they were pushed: {before.hash[:8]} (3 rows)" in found.summary()
    assert [place.partition(" ")[0] for place in found.copies.originals] == ["notes", "reviews"]
    assert "\n  what was ingested: notes (.stemma/downloads/" in found.summary()
    assert "perhaps" not in found.summary()
    shown = subprocess.run(["git", "show", "--name-only", "--format=%B"], cwd=root, capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["Forget", "3", "records", "Data", "version", found.report.version.hash + ".", "data.dvc", "forgotten.txt"]
    assert hash_of_text("Review 7 is what it is.") in (root / "forgotten.txt").read_text()
    assert "Review" not in (root / "forgotten.txt").read_text()


def test_only_sources_that_may_hold_a_record_are_named_and_as_no_more_than_that(root):
    (root / "sources.yaml").write_text(
        (root / "sources.yaml").read_text()
        + "  unused: {path: raw, files: [a], license: x, target: sentiment, reader: jsonl, optional: true}\n"
    )
    Path("more.jsonl").write_text('{"text": "More.", "label": "good"}', encoding="utf-8")
    add(root, ["more.jsonl"], Wish(target="sentiment"), say=quiet)
    found = forget(root, "Review 8 is what it is.").copies
    assert [place.partition(" ")[0] for place in found.originals] == ["reviews"]  # alone in the version before
    assert [place.partition(" ")[0] for place in found.perhaps] == ["more"]
    found = forget(root, "More.")
    assert [place.partition(" ")[0] for place in found.copies.perhaps] == ["more", "reviews"]
    assert "\n  perhaps one or more of what was ingested: more (.stemma/downloads/" in found.summary()
    assert "notes" not in found.summary()
    assert "unused" not in found.summary()


def test_neither_a_re_ingest_nor_the_old_version_brings_it_back(root):
    old = (root / "data.dvc").read_bytes()
    version = forget(root, "Review 7 is what it is.").report.version
    assert not ingest(root, say=quiet).changed
    shutil.rmtree(root / "data")
    (root / "data.dvc").unlink()
    again = ingest(root, say=quiet)  # read anew from what was kept
    assert again.version == version
    assert "reviews: 1 rows left out, forgotten.txt has them" in again.summary()
    (root / "data.dvc").write_bytes(old)  # as somebody who goes back
    subprocess.run([sys.executable, "-m", "dvc", "checkout", "-q"], cwd=root, check=True)
    assert forgetting.outstanding(root)
    assert forgetting.reapply(root, quiet).version == version
    assert forgetting.reapply(root, quiet) is None
    assert not forgetting.outstanding(root)
    assert data_versions.of_folder(root / "data") == version


def test_a_source_of_which_all_is_forgotten_is_not_read_again(root):
    Path("note.txt").write_text("All of it.", encoding="utf-8")
    note = add(root, ["note.txt"], Wish(target="corpus"), say=quiet).source
    forget(root, "All of it.")
    Path("note.txt").unlink()
    (root / ".stemma" / "downloads" / note.sha256).unlink()
    assert not ingest(root, say=quiet).changed
    forget(root, "Review 7 is what it is.")
    assert data_versions.of_folder(root / "data") == data_versions.in_use(root)


def test_a_plan_tells_of_records_in_the_version_in_use_whatever_lies_in_data(root):
    old = (root / "data.dvc").read_bytes()
    forget(root, "Review 7 is what it is.")
    assert not forgetting.outstanding(root)
    (root / "data.dvc").write_bytes(old)  # a `git checkout`, without one by DVC
    assert forgetting.outstanding(root)


def test_forgetting_more_keeps_what_was_forgotten(root):
    forget(root, "Review 7 is what it is.")
    forget(root, "Review 9 is what it is.")
    assert not {"Review 7 is what it is.", "Review 9 is what it is."} & everything(root)
    assert len((root / "forgotten.txt").read_text().split()) == 2


def test_killed_before_the_data_changes_the_next_run_commits_the_list_too(root, monkeypatch):
    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(data_versions, "_swap", killed)
        with pytest.raises(KeyboardInterrupt):
            forget(root, "Review 7 is what it is.")
    forgetting.keep_away(root, quiet)
    assert "Review 7 is what it is." not in everything(root)
    shown = subprocess.run(["git", "show", "--name-only", "--format="], cwd=root, capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["data.dvc", "forgotten.txt"]


def test_of_data_of_the_users_own_making_nothing_is_forgotten_and_nothing_replaces_it(root):
    own = own_data(root)
    with pytest.raises(UserError, match=r"^data: does not say what it was made from"):
        forget(root, "Of our own.")
    assert data_versions.in_use(root) == data_versions.of_folder(root / "data") == own
    assert not (root / "forgotten.txt").exists()
    (root / "forgotten.txt").write_text(f"{hash_of_text('Of our own.')}\n", encoding="utf-8")
    assert forgetting.reapply(root, quiet) is None


def test_an_ingest_beside_it_keeps_its_source(root, monkeypatch):
    Path("more.txt").write_text("Another note.", encoding="utf-8")
    beside = threading.Thread(target=add, args=(root, ["more.txt"], Wish(target="corpus")), kwargs={"commit": False, "say": quiet})
    read = sources.read

    def read_late(file):
        patch.undo()
        beside.start()
        beside.join(1)
        return read(file)

    with monkeypatch.context() as patch:
        patch.setattr(sources, "read", read_late)
        forgetting.forget(root, written("Review 7 is what it is."), commit=False, say=quiet)
    beside.join()
    assert "Another note." in everything(root)
    assert "Review 7 is what it is." not in everything(root)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"^records: no record in it; "),
        (b"\xff\xfe\xff", r"^records: cannot be read as UTF-8 text"),
        (b'{"title": "x"}', r"^records: line 1: a row with title; give `text` alone, or all columns of an application"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(root, content, message):
    Path("records").write_bytes(content)
    with pytest.raises(UserError, match=message):
        forgetting.forget(root, Path("records"), say=quiet)
    assert not (root / "forgotten.txt").exists()


def test_a_rollback_does_not_bring_it_back(root):
    old, texts = data_versions.in_use(root).hash, everything(root)
    version = forget(root, "Review 7 is what it is.").report.version
    with pytest.raises(UserError, match=rf"its data holds 2 rows that are to be forgotten; `stemma rollback {old} --data-only`"):
        rollback.rollback(root, old, rollback.EVERYTHING, lambda change: True, quiet)
    assert data_versions.in_use(root) == version
    add(root, ["notes.txt"], Wish(target="corpus", replace=True, lang="en"), say=quiet)
    done = rollback.rollback(root, old, frozenset({"data"}), lambda change: True, quiet)
    assert data_versions.in_use(root) == version
    assert texts - everything(root) == {text for text in texts if "Review 7 " in text}
    shown = subprocess.run(["git", "show", "--name-only", "--format=%H"], cwd=root, capture_output=True, text=True, check=True).stdout
    assert shown.split() == [done.commit, "data.dvc", "sources.yaml"]
    assert not subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=root, capture_output=True, check=True).stdout
