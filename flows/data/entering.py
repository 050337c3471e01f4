"""A new source stands in sources.yaml as soon as its data version is in use, and not before: a journal carries it over a kill."""

import json
from pathlib import Path

from flows import atomic, documents
from flows.data import versions
from flows.data.versions import DataVersion

FILE = "sources.yaml"
JOURNAL = ".stemma/entering.json"  # there while data.dvc is replaced


def announce(root: Path, version: DataVersion, before: str, after: str) -> None:
    """Note what sources.yaml is to become once `version` is in use."""
    atomic.write(root, root / JOURNAL, json.dumps({"version": version.hash, "before": before, "after": after}))


def complete(root: Path) -> str | None:
    """Change sources.yaml as announced if that version is in use, or drop it; what to tell if a killed ingest had left it.

    The lock of ingests must be held.
    """
    journal = root / JOURNAL
    if not journal.exists():
        return None
    noted = documents.remembered(journal)
    used, file = versions.in_use(root), root / FILE
    now = file.read_text(encoding="utf-8") if file.exists() else None
    told = None
    if used and used.hash == noted["version"] and now != noted["after"]:
        if now == noted["before"]:
            atomic.write(root, file, noted["after"])
            told = f"{FILE}: an ingest was killed when its data version was in use; its source is entered now"
        else:
            told = f"{FILE}: changed since an ingest was killed; its source is in data/, and the same command again enters it here too"
    journal.unlink()
    return told
