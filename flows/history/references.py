"""What a person means by REF: a data version, a run, a model version, a git revision or a date."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Literal

from flows.history import run_commits
from flows.history.git import commit_of, git
from flows.history.run_commits import RunCommit
from model.errors import UserError
from tasks import tracking
from tasks.registry import records

MODEL = re.compile(r"(?P<scheme>models:/)?(?P<name>[\w-]+)(/(?P<version>\d+)|@(?P<alias>[\w-]+))")
HASH = re.compile(r"[0-9a-f]{6,}(\.dir)?")
RUN_ID = re.compile(r"[0-9a-f]{32}")
DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ].+)?")
SHOWN = 5  # of each kind, where a person is told what there is


@dataclass(frozen=True)
class Reference:
    """A state of the project. `commit` holds its files; it is None for a model that no commit is known of, and may not be in this clone."""

    kind: Literal["data", "run", "model", "revision", "date"]
    commit: str | None
    data_version: str | None
    model: tuple[str, int] | None = None
    run_commit: RunCommit | None = None

    def __str__(self) -> str:
        """For people."""
        if self.model:
            return f"model {self.model[0]}/{self.model[1]}"
        return f"data version {self.data_version}" if self.kind == "data" else f"{self.kind} {(self.commit or '')[:10]}"


def resolve(root: Path, text: str) -> Reference:
    """The one state that `text` stands for; of a data version and of a date, the latest run with it and by then.

    Raises:
        UserError: it stands for none, or for several.
        TrackingError: it is a model or a run of MLflow's, which cannot be asked.
    """
    known = run_commits.listed(root)
    readings: list[Callable[[Path, str, list[RunCommit]], Iterator[Reference]]] = [_models, _data, _commits, _dates]
    found = [reference for reading in readings for reference in reading(root, text, known)] or [*_mlflow_runs(root, text, known)]
    if len(found) > 1:
        raise UserError(f"{text}: ambiguous, it may be {', '.join(map(str, found))}; write more of it")
    if not found:
        raise UserError(f"{text}: no data version, run, model version, git revision or date; there is {_known(root, known)}")
    return found[0]


def _models(root: Path, text: str, known: list[RunCommit]) -> Iterator[Reference]:
    asked = MODEL.fullmatch(text)
    if not asked:
        return
    there = records.versions(root)
    for version in there:
        if version.name == asked["name"] and (str(version.version) == asked["version"] or asked["alias"] in version.aliases):
            commit = version.tags.get("stemma.run_commit", "none")
            yield Reference(
                "model",
                None if commit == "none" else commit,
                version.tags.get("stemma.data_version"),
                (version.name, version.version),
                _run_commit(commit, known),
            )
            return
    if asked["scheme"]:
        raise UserError(f"{text}: no such model version; there is {_versions(there)}")


def _data(root: Path, text: str, known: list[RunCommit]) -> Iterator[Reference]:
    if not HASH.fullmatch(text):
        return
    introduced = run_commits.changes_of_data(root, "--all")[::-1]
    commits: dict[str, str] = {}
    for commit, version in zip(introduced, run_commits.data_versions_at(root, introduced), strict=True):
        if version and version.startswith(text):
            commits.setdefault(version, commit)
    for version, commit in commits.items():
        run = _latest([one for one in known if one.data_version == version])
        yield Reference("data", run.commit if run else commit, version, run_commit=run)


def _commits(root: Path, text: str, known: list[RunCommit]) -> Iterator[Reference]:
    """Git's own reading of `text`; run commits that it may be the beginning of, where git cannot choose."""
    commit = commit_of(root, text)
    candidates = [commit] if commit else [run.commit for run in known if HASH.fullmatch(text) and run.commit.startswith(text)]
    for commit in candidates:
        run = _run_commit(commit, known)
        yield Reference("run" if run else "revision", commit, _data_version(root, commit), run_commit=run)


def _dates(root: Path, text: str, known: list[RunCommit]) -> Iterator[Reference]:
    if not DATE.fullmatch(text):
        return
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"{text}: not a date; write it like 2026-01-31 or 2026-01-31T15:00") from None
    if len(text) == len("2026-01-31"):
        when = datetime.combine(when, time.max)  # a day is meant to its end
    when = when.astimezone(UTC)
    if run := _latest([run for run in known if datetime.fromisoformat(run.date) <= when]):
        yield Reference("date", run.commit, run.data_version, run_commit=run)
    elif commit_of(root, "HEAD") and (commit := git(root, "rev-list", "-1", f"--before={when.isoformat(timespec='seconds')}", "HEAD")):
        yield Reference("date", commit, _data_version(root, commit))


def _mlflow_runs(root: Path, text: str, known: list[RunCommit]) -> Iterator[Reference]:
    """A run of MLflow's by its id; the run of a stage goes by that of its lifecycle where it names no commit itself."""
    tags = records.run_tags(root, text) if RUN_ID.fullmatch(text) else None
    if tags and "stemma.run_commit" not in tags and "mlflow.parentRunId" in tags:
        tags = records.run_tags(root, tags["mlflow.parentRunId"])
    commit = (tags or {}).get("stemma.run_commit")
    if commit:
        run = _run_commit(commit, known)
        yield Reference("run", commit, run.data_version if run else (tags or {}).get("stemma.data_version"), run_commit=run)


def _run_commit(commit: str, known: list[RunCommit]) -> RunCommit | None:
    return next((run for run in known if run.commit == commit), None)


def _latest(runs: list[RunCommit]) -> RunCommit | None:
    """The latest that is complete, if any is: of one that failed, not everything can be restored."""
    return next((run for run in runs if run.complete), next(iter(runs), None))


def _data_version(root: Path, commit: str) -> str | None:
    return run_commits.data_versions_at(root, [commit])[0]


def _known(root: Path, known: list[RunCommit]) -> str:
    data = list(dict.fromkeys(run.data_version[:10] for run in known if run.data_version))
    told = [f"data version {', '.join(data[:SHOWN])}"] if data else []
    told += [f"run {', '.join(run.commit[:10] for run in known[:SHOWN])}"] if known else []
    with suppress(tracking.TrackingError):
        there = records.versions(root)
        told += [f"model {_versions(there)}"] if there else []
    return "; ".join(told) or "none yet: `stemma run` makes them"


def _versions(there: list[records.Version]) -> str:
    return ", ".join(f"{version.name}/{version.version}" for version in there[-SHOWN:]) or "none yet"
