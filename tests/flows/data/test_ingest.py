"""Ingest: a new data version, the same anywhere, or the old one untouched."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dvc.repo import Repo

from flows import workspace
from flows.data import versions as data_versions
from flows.data.ingest import IngestReport, ingest
from flows.data.log import data_log
from model.errors import UserError
from tasks import tables

PROJECT = Path(__file__).parents[3]

PARAMS = """
ingest:
  {validation_share: 0.2, test_share: 0.2, max_refused_share: 0.1, max_row_bytes: 100000, max_unpacked_bytes: 300000000,
   max_unpacked_ratio: 100, max_files: 1000, max_nesting: 3}
"""
SOURCES = """
archives: {}
sources:
  notes: {path: raw, files: [notes/*.txt], license: MIT, target: corpus, reader: text, options: {max_characters: 200}}
  reviews: {path: raw, files: [reviews.jsonl], license: MIT, target: sentiment, reader: jsonl}
  sentences: {license: MIT, target: srl, reader: grammar, options: {num_sentences: 60, seed: 1}, synthetic: true}
  weights: {path: raw, files: [weights/*], license: MIT, target: pretrained/weights, optional: true}
"""


def git(root, *arguments):
    named = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    return subprocess.run(["git", *named, *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


def project(folder):
    (folder / "raw" / "notes").mkdir(parents=True)
    (folder / "raw" / "weights").mkdir()
    (folder / "raw" / "weights" / "model.bin").write_bytes(b"weights")
    for number in range(3):
        (folder / "raw" / "notes" / f"{number}.txt").write_text(f"Note {number}.\n\nIts second paragraph.\n", encoding="utf-8")
    write_reviews(folder, 40)
    (folder / "params.yaml").write_text(PARAMS, encoding="utf-8")
    (folder / "sources.yaml").write_text(SOURCES, encoding="utf-8")
    (folder / ".gitignore").write_text("/data/\n/.stemma/\n", encoding="utf-8")
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text("[core]\n    analytics = false\n", encoding="utf-8")
    git(folder, "init", "-q", "-b", "main")
    return folder


def write_reviews(folder, count):
    rows = [{"text": f"Review {number} is what it is.", "label": "positive" if number % 2 else "negative"} for number in range(count)]
    (folder / "raw" / "reviews.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "dvc"))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    return project(tmp_path / "project")


def quiet(root, *names) -> IngestReport:
    return ingest(root, names, say=lambda line: None)


def contents(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_an_ingest_gives_a_data_version_that_dvc_agrees_with(root):
    report = quiet(root)
    assert report.changed
    assert report.rows["corpus/notes.parquet"] == 3
    assert sum(count for file, count in report.rows.items() if file.startswith("sentiment/")) == 40
    recorded = json.loads((root / "data" / "sources.json").read_text(encoding="utf-8"))
    assert {name: entry["synthetic"] for name, entry in recorded["sources"].items()} == {
        "notes": False,
        "reviews": False,
        "sentences": True,
    }
    before = (root / "data.dvc").read_bytes()
    with Repo(str(root)) as repo:
        assert repo.status() == {}
        repo.add(str(root / "data"))
    assert (root / "data.dvc").read_bytes() == before
    assert data_versions.in_use(root) == data_versions.of_folder(root / "data") == report.version


def test_the_same_sources_give_the_same_version_on_another_machine(root, tmp_path):
    quiet(root)
    other = project(tmp_path / "elsewhere")
    quiet(other)
    assert contents(other / "data") == contents(root / "data")
    assert (other / "data.dvc").read_bytes() == (root / "data.dvc").read_bytes()


def test_a_second_ingest_has_nothing_to_do_until_something_changes(root):
    first = quiet(root)
    assert not quiet(root).changed
    assert "nothing to do" in quiet(root).summary()
    write_reviews(root, 41)
    second = quiet(root)
    assert second.changed
    assert second.version != first.version
    splits = [{row["text"] for row in tables.rows(root / "data" / "sentiment" / f"{split}.parquet")} for split in ("train", "test")]
    assert not splits[0] & splits[1]


def test_data_that_is_missing_comes_back_from_the_cache(root):
    version = quiet(root).version
    shutil.rmtree(root / "data")
    assert quiet(root) == IngestReport(version, changed=False)
    assert data_versions.of_folder(root / "data") == version


def test_a_damaged_list_of_files_in_the_cache_is_noticed_too(root):
    version = quiet(root).version
    shutil.rmtree(root / "data")
    with Repo(str(root)) as repo:
        listing = Path(repo.cache.local.oid_to_path(version.hash))
    listing.chmod(0o644)
    listing.write_text("[{")
    assert quiet(root).version == version
    assert data_versions.of_folder(root / "data") == version
    assert json.loads(listing.read_text())


def test_a_damaged_cache_object_is_noticed_and_the_data_made_again(root):
    version = quiet(root).version
    shutil.rmtree(root / "data")
    damaged = next(file for file in (root / ".dvc" / "cache" / "files").rglob("*") if file.is_file() and file.suffix != ".dir")
    damaged.chmod(0o644)
    damaged.write_bytes(b"damaged")
    assert quiet(root).version == version
    assert data_versions.of_folder(root / "data") == version
    shutil.rmtree(root / "data")
    assert quiet(root) == IngestReport(version, changed=False)


def test_a_cache_that_knows_the_empty_folder_is_no_obstacle(root):
    version = quiet(root).version
    empty = root / ".dvc" / "cache" / "files" / "md5" / "d7" / "51713988987e9331980363e24189ce.dir"
    empty.parent.mkdir(exist_ok=True)
    empty.write_text("[]")
    shutil.rmtree(root / "data")
    assert quiet(root) == IngestReport(version, changed=False)


def test_a_deleted_file_comes_back_from_the_cache(root):
    version = quiet(root).version
    (root / "data" / "sentiment" / "train.parquet").unlink()
    assert quiet(root) == IngestReport(version, changed=False)
    assert data_versions.of_folder(root / "data") == version


def test_a_file_that_a_version_made_by_hand_lacks_is_made_again(root):
    version = quiet(root).version
    (root / "data" / "sentiment" / "train.parquet").unlink()
    subprocess.run([sys.executable, "-m", "dvc", "add", "--quiet", "data"], cwd=root, check=True)
    assert data_versions.in_use(root) != version
    assert quiet(root).version == version


def test_what_the_cache_has_lost_of_a_version_is_kept_before_its_data_goes(root):
    version = quiet(root).version
    for file in (root / ".dvc" / "cache" / "files").rglob("*"):
        if file.is_file():
            file.unlink()
    write_reviews(root, 41)
    assert quiet(root).changed
    with workspace.lock(root):
        (root / ".stemma" / "checkout").mkdir()
        assert data_versions.checkout(root, version, root / ".stemma" / "checkout")
    assert data_versions.of_folder(root / "data") == version


def test_changes_by_hand_are_never_thrown_away(root):
    quiet(root)
    (root / "data" / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(
        UserError, match=r"^data: holds changes that are in no data version; keep them with `dvc add data`, or delete data/$"
    ):
        quiet(root)
    assert (root / "data" / "mine.txt").exists()


def test_a_failing_ingest_changes_nothing_and_leaves_nothing(root):
    version = quiet(root).version
    before = contents(root / "data")
    (root / "raw" / "reviews.jsonl").write_text('{"text": "only", "label": 0.3}\n{"text": "", "label": "x"}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"^sources\.yaml: reviews: 2 of 2 rows refused"):
        quiet(root)
    assert data_versions.in_use(root) == version
    assert contents(root / "data") == before
    assert not (root / ".stemma" / "ingest").exists()


def test_an_optional_source_comes_when_named_and_its_files_are_kept_as_they_are(root):
    plain = quiet(root).version
    assert not (root / "data" / "pretrained").exists()
    quiet(root, "weights")
    assert (root / "data" / "pretrained" / "weights" / "model.bin").read_bytes() == b"weights"
    assert quiet(root).version == plain


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("params.yaml", PARAMS.replace("test_share: 0.2", "test_share: 2"), r"^params\.yaml: ingest\.test_share: "),
        ("sources.yaml", SOURCES.replace("path: raw", "path: row", 1), r"^sources\.yaml: row: no file matches notes/\*\.txt; "),
        (
            "sources.yaml",
            SOURCES.replace("reader: jsonl", "reader: jsonlines"),
            r"^sources\.yaml: reviews: reader jsonlines: no such reader; ",
        ),
        ("sources.yaml", SOURCES.replace("target: sentiment", "target: feelings"), r"^feelings: no such application; "),
    ],
)
def test_a_mistake_is_one_line(root, file, text, message):
    (root / file).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message) as found:
        quiet(root)
    assert "\n" not in str(found.value)


def test_the_log_lists_the_versions_newest_first(root):
    assert data_log(root) == []
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "No data yet")
    assert data_log(root) == []
    versions = []
    for count in (40, 50):
        write_reviews(root, count)
        versions.append(quiet(root).version)
        git(root, "add", ".")
        git(root, "commit", "-q", "-m", f"{count} reviews")
    found = data_log(root)
    assert [entry.message for entry in found] == ["50 reviews", "40 reviews"]
    assert [(entry.hash, entry.size, entry.num_files) for entry in found] == [
        (version.hash, version.size, version.num_files) for version in reversed(versions)
    ]
    assert found[0].commit == git(root, "rev-parse", "HEAD").strip()


def start(root: Path) -> subprocess.Popen[bytes]:
    code = "from pathlib import Path; from flows.data.ingest import ingest; ingest(Path.cwd(), say=lambda line: None)"
    return subprocess.Popen([sys.executable, "-c", code], cwd=root, env=os.environ | {"PYTHONPATH": str(PROJECT)})


@pytest.mark.slow
def test_killed_anywhere_it_leaves_the_old_version_or_the_new_one(root, tmp_path):
    old = quiet(root).version
    kept = shutil.copytree(root, tmp_path / "kept")
    write_reviews(root, 60)
    began = time.perf_counter()
    assert start(root).wait() == 0
    seconds = time.perf_counter() - began
    new = data_versions.in_use(root)
    left = set()
    for step in range(1, 25):
        shutil.rmtree(root)
        shutil.copytree(kept, root)
        write_reviews(root, 60)
        process = start(root)
        time.sleep(seconds * step / 16)
        process.kill()
        process.wait()
        found = data_versions.in_use(root)
        left.add(found)
        assert found in (old, new)
        assert quiet(root).version == new
        assert data_versions.of_folder(root / "data") == new
    assert left == {old, new}


@pytest.mark.slow
@pytest.mark.e2e
def test_the_default_sources_give_the_committed_data_version(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "dvc"))
    root = tmp_path / "project"
    shutil.copytree(PROJECT / ".dvc", root / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    for name in ("params.yaml", "sources.yaml", ".gitignore"):
        shutil.copy(PROJECT / name, root)
    git(root, "init", "-q")
    quiet(root)
    assert (root / "data.dvc").read_bytes() == (PROJECT / "data.dvc").read_bytes()
