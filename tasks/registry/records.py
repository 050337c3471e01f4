"""What MLflow holds, to look only: straight from this machine's database, because MLflow's own client takes two seconds to import.

Any other server is asked through that client.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import tracking

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

VERSIONS = "SELECT name, version, creation_time FROM model_versions WHERE current_stage != 'Deleted_Internal'"
VERSION_TAGS = "SELECT name, version, key, value FROM model_version_tags"
ALIASES = "SELECT name, version, alias FROM registered_model_aliases"
MODEL_TAGS = "SELECT key, value FROM registered_model_tags WHERE name = ?"
FINISHED = """
    SELECT runs.run_uuid, runs.experiment_id FROM runs
    JOIN experiments ON experiments.experiment_id = runs.experiment_id AND experiments.name = ?
    JOIN tags AS stage ON stage.run_uuid = runs.run_uuid AND stage.key = 'stemma.stage' AND stage.value = ?
    JOIN tags AS made ON made.run_uuid = runs.run_uuid AND made.key = 'stemma.key' AND made.value = ?
    WHERE runs.status = 'FINISHED' AND runs.lifecycle_stage = 'active'
    ORDER BY runs.start_time DESC LIMIT 1
"""
RUNNING = """
    SELECT runs.run_uuid, runs.name, tags.key, tags.value FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid
    WHERE runs.status = 'RUNNING' AND runs.lifecycle_stage = 'active'
"""


@dataclass(frozen=True)
class Version:
    """A version in the registry that Stemma made; `created` is a time in UTC."""

    name: str
    version: int
    aliases: tuple[str, ...]
    metrics: dict[str, float]
    created: str
    tags: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """What `stemma models` and `stemma run` show of a version."""
        return {
            "name": self.name,
            "version": self.version,
            "aliases": list(self.aliases),
            "metrics": self.metrics,
            "verdict": json.loads(self.tags["stemma.verdict"]),
        }


@dataclass(frozen=True)
class Run:
    """A run of a stage, by the ids that its page has."""

    id: str
    experiment: str


def versions(root: Path) -> list[Version]:
    """Every version that Stemma registered, by name and number; none, and no database made, before the first run.

    Raises:
        TrackingError: the registry does not answer.
    """
    if tracking.is_new(root):
        return []
    file = tracking.database(root)
    found = _stored_versions(root, file) if file else _asked_versions(root)
    return sorted(found, key=lambda version: (version.name, version.version))


def model_tags(root: Path, name: str) -> dict[str, str]:
    """The tags of a registered model; none where there is no such model.

    Raises:
        TrackingError: the registry does not answer.
    """
    if tracking.is_new(root):
        return {}
    if file := tracking.database(root):
        with _opened(root, file) as database:
            return dict(database.execute(MODEL_TAGS, (name,)).fetchall())
    client = tracking.connect(root)
    with tracking.explained(root):
        return next((dict(model.tags) for model in client.search_registered_models(f"name = '{name}'")), {})


def finished_run(root: Path, stage: str, key: str) -> Run | None:
    """The latest finished run of a stage with this key.

    Raises:
        TrackingError: the server does not answer.
    """
    if tracking.is_new(root):
        return None
    if file := tracking.database(root):
        with _opened(root, file) as database:
            found = database.execute(FINISHED, (tracking.EXPERIMENT, stage, key)).fetchone()
        return Run(found[0], str(found[1])) if found else None
    client = tracking.connect(root)
    with tracking.explained(root):
        id = tracking.find(client, root, stage, key)
        return Run(id, tracking.experiment(client, root)) if id else None


def run_tags(root: Path, run_id: str) -> dict[str, str] | None:
    """The tags of a run of this project, or None if there is no such run.

    Raises:
        TrackingError: the server does not answer.
    """
    if tracking.is_new(root):
        return None
    if file := tracking.database(root):
        with _opened(root, file) as database:
            there = database.execute("SELECT 1 FROM runs WHERE run_uuid = ? AND lifecycle_stage = 'active'", (run_id,)).fetchone()
            return dict(database.execute("SELECT key, value FROM tags WHERE run_uuid = ?", (run_id,))) if there else None
    client = tracking.connect(root)
    with tracking.explained(root):
        found = client.search_runs([tracking.experiment(client, root)], f"attributes.run_id = '{run_id}'")
        return dict(found[0].data.tags) if found else None


@dataclass(frozen=True)
class Unended:
    """A run that says RUNNING, whether anybody is at work on it or not."""

    id: str
    name: str
    tags: dict[str, str]


def unended(root: Path) -> list[Unended]:
    """The runs of this workspace that say RUNNING.

    Raises:
        TrackingError: the server does not answer.
    """
    if tracking.is_new(root):
        return []
    runs: dict[str, Unended] = {}
    if file := tracking.database(root):
        with _opened(root, file) as database:
            for id, name, key, value in database.execute(RUNNING):
                runs.setdefault(id, Unended(id, name, {})).tags[key] = value
    else:
        client = tracking.connect(root)
        with tracking.explained(root):
            for run in client.search_runs([tracking.experiment(client, root)], "attributes.status = 'RUNNING'"):
                runs[run.info.run_id] = Unended(run.info.run_id, run.info.run_name, dict(run.data.tags))
    return [run for run in runs.values() if run.tags.get("stemma.workspace") == tracking.workspace(root)]


def of_mlflow(found: "ModelVersion") -> Version:
    """The same from a version as MLflow's client gives it."""
    return _version(found.name, int(found.version), tuple(found.aliases), found.creation_timestamp, dict(found.tags))


def _version(name: str, version: int, aliases: tuple[str, ...], milliseconds: int, tags: dict[str, str]) -> Version:
    created = datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
    return Version(name, version, tuple(sorted(aliases)), json.loads(tags["stemma.metrics"]), created, tags)


def _stored_versions(root: Path, file: Path) -> list[Version]:
    tags: dict[tuple[str, int], dict[str, str]] = {}
    aliases: dict[tuple[str, int], list[str]] = {}
    with _opened(root, file) as database:
        rows = database.execute(VERSIONS).fetchall()
        for name, version, key, value in database.execute(VERSION_TAGS):
            tags.setdefault((name, version), {})[key] = value
        for name, version, alias in database.execute(ALIASES):
            aliases.setdefault((name, version), []).append(alias)
    return [
        _version(name, version, tuple(aliases.get((name, version), ())), milliseconds, tags[name, version])
        for name, version, milliseconds in rows
        if "stemma.checkpoint" in tags.get((name, version), {})
    ]


def _asked_versions(root: Path) -> list[Version]:
    client = tracking.connect(root)
    with tracking.explained(root):
        return [
            of_mlflow(client.get_model_version(model.name, str(version.version)))  # a search gives no aliases
            for model in client.search_registered_models(max_results=1000)
            for version in client.search_model_versions(f"name = '{model.name}'", max_results=1000)
            if "stemma.checkpoint" in version.tags
        ]


@contextmanager
def _opened(root: Path, file: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(file, timeout=20)) as database:
            yield database
    except sqlite3.Error as error:
        raise tracking.unusable(root, str(error)) from error
