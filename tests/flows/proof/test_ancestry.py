"""What a version is to remember is what dvc.lock, the fingerprints and data/sources.json say when the stages have settled."""

import json
from pathlib import Path

from flows.proof import ancestry


def test_the_hash_of_every_dependency_and_output_is_remembered(finished: Path) -> None:
    lock = json.loads(ancestry.facts(finished, ["seed", "part@a"])["lock"])
    assert list(lock) == ["part@a", "seed"]
    assert lock["part@a"]["deps"] == {"build/seed": lock["seed"]["outs"]["build/seed"]}
    assert lock["seed"]["deps"] == {"data": (finished / "data.dvc").read_text().split("md5: ")[1].split()[0]}


def test_the_libraries_of_every_stage_are_remembered(finished: Path) -> None:
    (finished / "build/code").mkdir()
    fingerprint = {"libraries": {"torch": "2.9"}, "python": "3.11", "functions": {}, "modules": []}
    (finished / "build/code/seed.json").write_text(json.dumps(fingerprint))
    lock = finished / "dvc.lock"
    lock.write_text(lock.read_text().replace("- path: data\n", "- path: build/code/seed.json\n      md5: abc\n    - path: data\n", 1))
    assert json.loads(ancestry.facts(finished, ["seed"])["libraries"]) == {"torch": "2.9", "python": "3.11"}


def test_a_source_is_remembered_with_its_licence_and_the_hash_of_its_bytes(finished: Path) -> None:
    archive = {"package": "vaderSentiment", "version": "3.3.2", "kind": "sdist", "sha256": "7d5c"}
    entry = {"archive": archive, "files": ["*.txt"], "license": "MIT", "target": "sentiment", "synthetic": False}
    (finished / "data/sources.json").write_text(json.dumps({"sources": {"vader": entry}}))
    assert json.loads(ancestry.facts(finished, [])["sources"])["vader"] == {
        "files": ["*.txt"],
        "license": "MIT",
        "origin": "vaderSentiment 3.3.2",
        "sha256": "7d5c",
        "synthetic": False,
        "target": "sentiment",
    }


def test_data_of_a_persons_own_making_has_no_sources(finished: Path) -> None:
    assert json.loads(ancestry.facts(finished, [])["sources"]) == {}
