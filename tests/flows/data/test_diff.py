"""The log of data versions and what differs between two: from the cache, or a DVC remote, and nothing is checked out."""

import shutil
import subprocess

import pytest
from dvc.repo import Repo

from flows.data import versions as data_versions
from flows.data.diff import data_diff
from flows.data.log import data_log
from model.errors import UserError
from tasks import tables
from tasks.intake import columns


def git(root, *arguments):
    named = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    return subprocess.run(["git", *named, *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


def documents(*numbers):
    return [{"text": f"Document {number}.", "source": "notes", "license": None, "lang": "en"} for number in numbers]


def questions(context, *wanted):
    return [{"context": context, "question": question, "answers": [{"text": context[:3], "start": 0}]} for question in wanted]


def version(root, message, notes, asked, shards=1):
    from model.applications import qa

    data = root / ".stemma" / "data"
    for number in range(shards):
        name = f"notes-{number:05}" if shards > 1 else "notes"
        tables.write(data / "corpus" / f"{name}.parquet", notes[number::shards], columns.corpus())
    tables.write(data / "qa" / "train.parquet", asked, qa.SCHEMA)
    (data / "sources.json").write_text(f'"{message}"\n', encoding="utf-8")
    made = data_versions.adopt(root, data)
    git(root, "add", "data.dvc")
    git(root, "commit", "-qm", message)
    return made.hash


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "dvc"))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    (root / ".stemma").mkdir()
    (root / ".dvc" / "config").write_text("[core]\n    analytics = false\n", encoding="utf-8")
    git(root, "init", "-q", "-b", "main")
    return root


@pytest.fixture
def two(root):
    """The hashes of two versions: notes 1-4 and 3-5 in two shards, and a question that became another."""
    return (
        version(root, "first", documents(1, 2, 3, 4), questions("The bridge.", "Which?", "What?")),
        version(root, "second", documents(3, 4, 5), questions("The bridge.", "Which?", "Whose?"), shards=2),
    )


def part(found, name):
    return next(part for part in found.to_json()["parts"] if part["name"] == name)


def test_rows_added_removed_and_changed_by_part(root, two):
    found = data_diff(root, two[0][:8], two[1])
    assert [part.name for part in found.parts] == ["corpus/notes", "qa/train", "sources.json"]
    notes, asked = part(found, "corpus/notes"), part(found, "qa/train")
    assert (notes["added"], notes["removed"], notes["changed"]) == (1, 2, 0)
    assert (notes["before"]["rows"], notes["after"]["rows"]) == (4, 3)
    assert notes["after"]["values"] == {"lang": {"en": 3}}
    assert [row["text"] for row in notes["samples"]["added"]] == ["Document 5."]
    assert (asked["added"], asked["removed"], asked["changed"]) == (0, 0, 1)
    assert [[row["question"] for row in pair] for pair in asked["samples"]["changed"]] == [["What?", "Whose?"]]
    assert "added" not in part(found, "sources.json")
    assert not part(found, "sources.json")["same"]


def test_nothing_is_checked_out_or_changed(root, two):
    before = {file: file.stat().st_mtime_ns for file in root.rglob("*") if ".stemma" not in file.parts}
    data_diff(root, *two)
    data_log(root)
    assert {file: file.stat().st_mtime_ns for file in root.rglob("*") if ".stemma" not in file.parts} == before


def test_a_remote_has_what_the_cache_lacks(root, two, tmp_path):
    (root / ".dvc" / "config.local").write_text(f"[core]\n    remote = far\n['remote \"far\"']\n    url = {tmp_path / 'far'}\n")
    with Repo(str(root)) as repo:
        repo.push(all_commits=True)
    near = data_diff(root, *two).to_json()
    shutil.rmtree(root / ".dvc" / "cache")
    shutil.rmtree(root / ".stemma" / "parts")
    assert data_diff(root, *two).to_json() == near
    assert [version.parts is not None for version in data_log(root)] == [True, True]


def test_a_version_whose_objects_are_nowhere_is_one_line(root, two):
    shutil.rmtree(root / ".dvc" / "cache")
    with pytest.raises(UserError, match=rf"{two[0]}: objects of this data version are neither in the DVC cache nor in a remote"):
        data_diff(root, *two)
    assert [version.parts for version in data_log(root)] == [None, None]


def test_a_version_whose_list_of_files_is_damaged_is_one_line_unless_a_remote_has_it(root, two, tmp_path):
    near = data_diff(root, *two).to_json()
    (root / ".dvc" / "config.local").write_text(f"[core]\n    remote = far\n['remote \"far\"']\n    url = {tmp_path / 'far'}\n")
    with Repo(str(root)) as repo:
        repo.push(all_commits=True)
    shutil.rmtree(root / ".stemma" / "parts")
    listing = root / ".dvc" / "cache" / "files" / "md5" / two[0][:2] / two[0][2:]
    listing.chmod(0o644)
    listing.write_text('[{"md5": "')
    assert data_diff(root, *two).to_json() == near
    shutil.rmtree(tmp_path / "far")
    shutil.rmtree(root / ".stemma" / "parts")
    with pytest.raises(UserError, match=rf"{two[0]}: objects of this data version are neither in the DVC cache nor in a remote"):
        data_diff(root, *two)


def test_any_reference_to_a_state_with_data_will_do(root, two):
    assert data_diff(root, "HEAD~1", "main").to_json() == data_diff(root, *two).to_json()
    uncommitted = version(root, "third", documents(7), questions("The bridge.", "Why?"))
    git(root, "reset", "-q", "--soft", "HEAD~1")
    assert data_diff(root, two[0], uncommitted[:6]).after == uncommitted
    with pytest.raises(UserError, match=r"nothing: no data version, run, model version, git revision or date"):
        data_diff(root, "nothing", two[0])


def test_the_log_has_rows_and_bytes_of_each_part(root, two):
    newest, oldest = data_log(root)
    assert [one.hash for one in (oldest, newest)] == list(two)
    assert [one.message for one in (oldest, newest)] == ["first", "second"]
    assert {part.name: part.rows for part in newest.parts} == {"corpus/notes": 3, "qa/train": 2, "sources.json": None}
    assert sum(part.size for part in newest.parts) == newest.size
    assert newest.folders()["qa"][0] == 2


def test_the_log_has_versions_that_only_a_run_had_and_the_one_not_committed(root, two):
    third = version(root, "third", documents(7), questions("The bridge.", "Why?"))
    git(root, "update-ref", "refs/remotes/stemma/20260101T000000.000000Z-aaaaaaaaaa", "HEAD")
    git(root, "reset", "-q", "--hard", "HEAD~1")
    assert [one.hash for one in data_log(root)] == [third, two[1], two[0]]
    (root / "data.dvc").write_text((root / "data.dvc").read_text().replace(two[1], f"{'0' * 32}.dir"))
    assert (data_log(root)[0].commit, data_log(root)[0].message) == ("", "(not committed)")


def test_the_log_has_a_version_that_came_with_a_merge(root, two):
    git(root, "checkout", "-q", "-b", "side", "HEAD~1")
    git(root, "commit", "-q", "--allow-empty", "-m", "aside")
    git(root, "merge", "-q", "--no-commit", "main")
    merged = version(root, "merge", documents(7), questions("The bridge.", "Why?"))
    version(root, "later", documents(9), questions("The bridge.", "Why?"))
    assert [(one.hash, one.message) for one in data_log(root)[1:]] == [(merged, "merge"), (two[1], "second"), (two[0], "first")]


def test_the_log_is_empty_before_the_first_version(root):
    assert data_log(root) == []


def test_a_version_that_is_gone_back_to_stands_in_the_log_once(root, two):
    git(root, "checkout", "-q", "HEAD~1", "--", "data.dvc")
    git(root, "commit", "-qm", "back")
    assert [(one.hash, one.message, one.in_use) for one in data_log(root)] == [(two[1], "second", False), (two[0], "first", True)]


def test_the_log_goes_past_a_commit_whose_data_dvc_is_broken(root, two):
    (root / "data.dvc").write_text("<<<<<<< HEAD\nouts:\n")
    git(root, "commit", "-qam", "a merge gone wrong")
    git(root, "update-ref", "refs/remotes/stemma/20260101T000000.000000Z-aaaaaaaaaa", "HEAD")
    git(root, "reset", "-q", "--hard", "HEAD~1")
    assert [one.hash for one in data_log(root)] == [two[1], two[0]]
