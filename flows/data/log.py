"""The data versions there were, as git remembers data.dvc, with what is in them and the models that came out."""

from collections import defaultdict
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from flows import workspace
from flows.data import parts as data_parts
from flows.data import versions as data_versions
from flows.data.parts import Part
from flows.history import run_commits
from flows.history.git import texts
from model.errors import UserError
from tasks.registry import records

SEPARATOR = "\x1f"
RUN_COMMITS = f"--glob={run_commits.NAMED}"  # a version may have been in a run and never in a commit of the user's


@dataclass(frozen=True)
class LoggedVersion:
    """A data version, and the commit that first brought it in."""

    hash: str
    date: str  # of the commit, ISO 8601; empty where there is none
    commit: str  # empty: data.dvc has not been committed yet
    num_files: int
    size: int  # bytes
    message: str  # the first line of the commit's
    in_use: bool = False
    parts: list[Part] | None = None  # None: its objects are neither in the cache nor in the remote
    models: tuple[str, ...] = ()  # the model versions trained on it, such as sentiment/1

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        parts = None if self.parts is None else [part.to_json() for part in self.parts]
        return asdict(self) | {"parts": parts, "models": list(self.models)}

    def folders(self) -> dict[str, tuple[int | None, int]]:
        """Rows and bytes of each folder, for people; no rows where it holds no tables."""
        totals: dict[str, tuple[int | None, int]] = {}
        for part in self.parts or []:
            name = part.name.partition("/")[0]
            rows, size = totals.get(name, (None, 0))
            totals[name] = rows if part.rows is None else part.rows + (rows or 0), part.size + size
        return totals


def data_log(root: Path) -> list[LoggedVersion]:
    """Every data version in the history of HEAD or of a run once, newest first, and the one in use if it is not committed yet."""
    found = history(root)
    trained: dict[str, list[str]] = defaultdict(list)
    for model in records.versions(root):
        trained[model.tags.get("stemma.data_version", "")].append(f"{model.name}/{model.version}")
    with data_parts.looking(root) as parts_of:
        return [replace(version, parts=parts_of(version.hash), models=tuple(trained[version.hash])) for version in found]


def history(root: Path) -> list[LoggedVersion]:
    """The same without what is in the versions and what came out of them: git and data.dvc alone are read."""
    mine = _log(root, "HEAD") if workspace.head_commit(root) else []
    first: dict[str, tuple[int, LoggedVersion]] = {}
    for when, version in (*reversed(mine), *reversed(_log(root, RUN_COMMITS))):  # the oldest first
        first.setdefault(version.hash, (when, version))
    used = data_versions.in_use(root)
    found = [version for _, version in sorted(first.values(), key=lambda entry: entry[0])][::-1]
    if used and used.hash not in first:
        found.insert(0, LoggedVersion(used.hash, "", "", used.num_files, used.size, "(not committed)"))
    return [replace(version, in_use=used is not None and version.hash == used.hash) for version in found]


def _log(root: Path, revisions: str) -> list[tuple[int, LoggedVersion]]:
    """Each commit that changed data.dvc, newest first, with its time in seconds."""
    form = SEPARATOR.join(("%H", "%ct", "%cI", "%s"))
    entries = [line.split(SEPARATOR) for line in run_commits.changes_of_data(root, revisions, form=form)]
    found = []
    for (commit, when, date, message), text in zip(entries, texts(root, (f"{entry[0]}:./data.dvc" for entry in entries)), strict=True):
        with suppress(UserError):  # a run, which keeps the work tree as it is, may have found a broken one
            version = data_versions.parse(text or "")
            found.append((int(when), LoggedVersion(version.hash, date, commit, version.num_files, version.size, message)))
    return found
