"""A project into which sources are taken, with a DVC and a git repository of its own."""

import json
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from flows.data import versions
from flows.data.additions import Wish, add
from tasks import tables

PARAMS = """
ingest:
  {validation_share: 0.2, test_share: 0.2, max_refused_share: 0.1, max_row_bytes: 100000, max_unpacked_bytes: 300000000,
   max_unpacked_ratio: 100, max_files: 1000, max_nesting: 3}
"""
SOURCES = """# What data is made of.
archives: {}
sources:
  # Sentences of our own
  sentences: {license: MIT, target: srl, reader: grammar, options: {num_sentences: 60, seed: 1}, synthetic: true}
"""


def git(root, *arguments):
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


def reviews(first, last):
    rows = ({"review": f"Review {number} is what it is.", "label": "good" if number % 2 else "bad"} for number in range(first, last))
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "dvc"))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")  # no identity
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").write_text("[core]\n    analytics = false\n", encoding="utf-8")
    (root / ".gitignore").write_text("/data/\n/.stemma/\n", encoding="utf-8")
    (root / "params.yaml").write_text(PARAMS, encoding="utf-8")
    (root / "sources.yaml").write_text(SOURCES, encoding="utf-8")
    git(root, "init", "-q", "-b", "main")
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def served(tmp_path):
    """A folder that a server of this machine answers from, and its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def taken_in(root, *given, commit=True, **wish):
    return add(root, [str(one) for one in given], Wish(**wish), commit=commit, say=lambda line: None)


def texts(root, target="sentiment"):
    files = sorted((root / "data" / target).glob("*.parquet"))
    return {row["text"] for file in files for row in tables.rows(file)}


def own_data(root):
    """`data/` as a person made it, who ran `dvc add data`."""
    made = root / ".stemma" / "own"
    (made / "corpus").mkdir(parents=True)
    (made / "corpus" / "own.txt").write_text("Of our own.", encoding="utf-8")
    return versions.adopt(root, made)
