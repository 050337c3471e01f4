"""What a registered version is to remember of where it comes from, taken from the project when its stages have settled."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from flows.data.ingest import ORIGIN

FINGERPRINTS = "build/code/"  # what the stage `code` says of each stage


def facts(root: Path, stages: Collection[str]) -> dict[str, str]:
    """As JSON, of `stages` and what they were made from.

    `lock`: the hash of each dependency and output, as dvc.lock has it. `libraries`: the versions that their code computed with, Python's
    among them. `sources`: what the data version was made of.
    """
    locked = YAML(typ="safe").load((root / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    lock = {name: {side: _hashes(entry.get(side, [])) for side in ("deps", "outs")} for name, entry in locked.items() if name in stages}
    found = {"lock": lock, "libraries": _libraries(root, lock), "sources": _sources(root)}
    return {name: json.dumps(content, ensure_ascii=False, sort_keys=True) for name, content in found.items()}


def _hashes(entries: list[dict[str, Any]]) -> dict[str, str]:
    return {entry["path"]: entry["md5"] for entry in entries}


def _libraries(root: Path, lock: Mapping[str, Mapping[str, Mapping[str, str]]]) -> dict[str, str]:
    versions: dict[str, str] = {}
    for dep in {dep for entry in lock.values() for dep in entry["deps"] if dep.startswith(FINGERPRINTS)}:
        fingerprint = json.loads((root / dep).read_text(encoding="utf-8"))
        versions |= fingerprint["libraries"] | {"python": fingerprint["python"]}
    return versions


def _sources(root: Path) -> dict[str, dict[str, Any]]:
    """By name; none where the data is of the user's own making."""
    file = root / "data" / ORIGIN
    known = json.loads(file.read_text(encoding="utf-8"))["sources"] if file.exists() else {}
    return {name: describe(entry) for name, entry in known.items()}


def describe(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Of a source as data/sources.json has it: what it is for, its licence, the hash of its bytes and where they come from."""
    archive = entry.get("archive") or {}
    package = f"{archive['package']} {archive['version']}" if archive else None
    return {
        "target": entry["target"],
        "license": entry.get("license"),
        "sha256": archive.get("sha256") or entry.get("sha256"),
        "origin": package or entry.get("uri") or entry.get("path"),
        "files": list(entry.get("files") or []),
        "synthetic": bool(entry.get("synthetic")),
    }
