"""Whenever an ingest ends, sources.yaml and the data version in use agree."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.data import ingest as ingest_module
from flows.data import versions as data_versions
from flows.data.additions import Wish, add
from model.errors import UserError
from tasks.intake import sources

from .conftest import SOURCES, git, reviews, taken_in, texts

pytestmark = pytest.mark.e2e  # data versions of a real DVC and git repository

PROJECT = Path(__file__).parents[3]
START = """
from pathlib import Path
from flows.data.additions import Wish, add
add(Path.cwd(), ["reviews.jsonl"], Wish(target="sentiment"), say=str)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_anywhere_the_same_again_ends_as_if_undisturbed(root, tmp_path):
    def state():
        files = [root / "data.dvc", root / "sources.yaml", *sorted((root / "data").rglob("*.parquet"))]
        return [file.read_bytes() for file in files], git(root, "log", "--format=%B"), git(root, "status", "--porcelain")

    def start():
        return subprocess.Popen([sys.executable, "-c", START], cwd=root, env=os.environ | {"PYTHONPATH": str(PROJECT)})

    rows = ({"text": f"Review {number}.", "label": "good"} for number in range(3000))
    (root / "reviews.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (root / ".gitignore").write_text("/data/\n/.stemma/\n/reviews.jsonl\n/.dvc/\n", encoding="utf-8")
    git(root, "add", ".")
    git(root, *("-c", "user.name=x", "-c", "user.email=x"), "commit", "-qm", "Begin")
    kept = shutil.copytree(root, tmp_path / "kept")
    began = time.perf_counter()
    assert start().wait() == 0
    seconds, undisturbed = time.perf_counter() - began, state()
    for step in range(1, 17):
        shutil.rmtree(root)
        shutil.copytree(kept, root)
        process = start()
        time.sleep(seconds * step / 15)
        process.kill()
        process.wait()
        assert start().wait() == 0
        assert state() == undisturbed
        assert not list((root / ".stemma" / "downloads").glob("tmp*"))


def stop_an_ingest_in(root, monkeypatch, module, function):
    def stopped(*arguments):
        raise KeyboardInterrupt

    (root / "notes.txt").write_text("A note.", encoding="utf-8")
    (root / "reviews.jsonl").write_bytes(reviews(0, 60))
    with monkeypatch.context() as patch:
        patch.setattr(module, function, stopped)
        with pytest.raises(KeyboardInterrupt):
            taken_in(root, "reviews.jsonl", target="sentiment", columns={"text": "review"})


def test_stopped_before_its_data_version_is_in_use_the_source_is_not_entered(root, monkeypatch):
    stop_an_ingest_in(root, monkeypatch, data_versions, "_swap")
    assert (root / "sources.yaml").read_text(encoding="utf-8") == SOURCES
    taken_in(root, "notes.txt", target="corpus")
    assert "reviews" not in (root / "sources.yaml").read_text(encoding="utf-8")
    assert not (root / "data" / "sentiment").exists()


def test_stopped_when_its_data_version_is_in_use_the_next_ingest_enters_the_source_and_says_so(root, monkeypatch):
    stop_an_ingest_in(root, monkeypatch, ingest_module, "_remember")
    said = []
    add(root, ["notes.txt"], Wish(target="corpus"), say=said.append)
    assert said[0] == "sources.yaml: an ingest was killed when its data version was in use; its source is entered now"
    assert list(sources.read(root / "sources.yaml").sources) == ["sentences", "reviews", "notes"]
    assert len(texts(root)) == 60


def test_what_a_person_writes_into_sources_yaml_meanwhile_stays_and_the_same_again_enters_the_source(root):
    def edit(line):
        (root / "sources.yaml").write_text(f"# Mine\n{SOURCES}", encoding="utf-8")

    (root / "notes.txt").write_text("A note.", encoding="utf-8")
    with pytest.raises(UserError, match=r"^sources\.yaml: changed while an ingest was at work; the same command again enters its source$"):
        add(root, ["notes.txt"], Wish(target="corpus"), say=edit)
    assert taken_in(root, "notes.txt", target="corpus").commit
    assert (root / "sources.yaml").read_text(encoding="utf-8").startswith("# Mine")
    assert list(sources.read(root / "sources.yaml").sources) == ["sentences", "notes"]
