"""Where a registered version comes from: a chain of hashes from its evaluation down to the bytes of its sources, as its tags have it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flows.history import references
from model.errors import UserError
from tasks.registry import records
from tasks.registry.records import Version

MADE = {  # what a stage leaves, in a person's words
    "evaluate": "evaluation",
    "finetune": "checkpoint",
    "pretrain": "base",
    "tokenizer": "tokens",
    "prepare": "documents",
    "code": "code",
}
DATA = "data"
METRICS = "build/metrics/"


@dataclass(frozen=True)
class Link:
    """What one stage made, and from what."""

    made: str
    stage: str
    key: str
    outs: dict[str, str]  # DVC's md5 by path; metrics come last
    needs: tuple[str, ...]  # stages, and `data`
    params: dict[str, Any]
    run: str | None = None  # in MLflow

    @property
    def hash(self) -> str:
        """Of its first output."""
        return next(iter(self.outs.values()))


@dataclass(frozen=True)
class Lineage:
    """A version and everything it was made from."""

    name: str
    version: int
    aliases: tuple[str, ...]
    registered: str  # UTC
    checkpoint: str  # SHA-256 of the names and contents of its files
    evaluation: str  # SHA-256 of the examples it was judged on
    metrics: dict[str, float]
    links: tuple[Link, ...]  # from the evaluation down
    data_version: str
    sources: dict[str, dict[str, Any]]  # target, license, sha256, origin, files, synthetic; by name
    run_commit: str
    uncommitted: bool  # files were edited while it ran, so the commit may not be all that it worked from
    code: str  # the name under which the model's own code travels with it
    libraries: dict[str, str]

    @property
    def title(self) -> str:
        return f"{self.name}/{self.version}"

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """For people: what it is, its name, its hash, and what else there is to say."""
        called = f" ({', '.join(self.aliases)})" if self.aliases else ""
        yield "model", f"{self.title}{called}", self.checkpoint, f"registered {self.registered}"
        scores = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items())
        for link in self.links:
            said = f"{scores}; on examples {self.evaluation[:12]}" if link.made == "evaluation" else ""
            yield link.made, link.stage, link.hash, said or (f"run {link.run[:12]}" if link.run else "")
        yield "data version", DATA, self.data_version, f"{len(self.sources)} sources"
        for name, source in self.sources.items():
            made_up = "synthetic, " if source["synthetic"] else ""
            pinned = source["sha256"] or "no file: its reader makes it"
            yield "source", name, pinned, f"{made_up}{source['license'] or 'no licence given'}; for {source['target']}"
        yield "code commit", self.code, self.run_commit, "files were edited while it ran" if self.uncommitted else ""
        yield "libraries", "", "", ", ".join(f"{name} {version}" for name, version in sorted(self.libraries.items()))


def lineage(root: Path, reference: str) -> Lineage:
    """The chain of a version, told by its tags alone: neither the cache nor the run commit need be here.

    Raises:
        UserError: `reference` names no version, or one that another tool registered.
        TrackingError: the registry does not answer.
    """
    return of_version(root, find(root, reference))


def find(root: Path, reference: str) -> Version:
    """The version that a reference names: `models:/sentiment/1`, `sentiment/1`, `sentiment@champion`.

    Raises:
        UserError: it names nothing, or a state in which several were registered.
    """
    found, known = references.resolve(root, reference), records.versions(root)
    if found.model is None:
        there = ", ".join(f"{one.name}/{one.version}" for one in known if found.commit == one.tags["stemma.run_commit"]) or "none of it"
        raise UserError(f"{reference}: {found}, and no model version; give one, such as sentiment/1; registered is {there}")
    return next(one for one in known if (one.name, one.version) == found.model)


def of_version(root: Path, version: Version) -> Lineage:
    """The chain of a version that is at hand."""
    tags = version.tags
    if "stemma.lock" not in tags:
        raise UserError(f"{version.name}/{version.version}: registered without its lineage; `stemma run` registers what it makes with it")
    lock = json.loads(tags["stemma.lock"])
    return Lineage(
        name=version.name,
        version=version.version,
        aliases=version.aliases,
        registered=version.created,
        checkpoint=tags["stemma.checkpoint"],
        evaluation=tags["stemma.evaluation"],
        metrics=version.metrics,
        links=tuple(_link(root, tags, name, lock) for name in reversed(_ordered(lock))),
        data_version=tags["stemma.data_version"],
        sources=json.loads(tags["stemma.sources"]),
        run_commit=tags["stemma.run_commit"],
        uncommitted=tags.get("stemma.uncommitted_changes") == "true",
        code=tags["stemma.code"],
        libraries=json.loads(tags["stemma.libraries"]),
    )


def _link(root: Path, tags: Mapping[str, str], stage: str, lock: Mapping[str, Any]) -> Link:
    tag = stage.replace("@", ".")
    key = tags[f"stemma.key.{tag}"]
    run = records.finished_run(root, stage, key)
    params = json.loads(tags.get(f"stemma.params.{tag}", "{}"))
    made = MADE.get(stage.partition("@")[0], stage)
    outs = dict(sorted(lock[stage]["outs"].items(), key=lambda out: out[0].startswith(METRICS)))
    return Link(made, stage, key, outs, _needs(stage, lock), params, run.id if run else None)


def _needs(stage: str, lock: Mapping[str, Any]) -> tuple[str, ...]:
    """What made the dependencies of a stage: the stage with an output above or below each; `data` is nobody's."""
    deps = lock[stage]["deps"]
    makers = {name for name, entry in lock.items() if any(_overlap(out, dep) for out in entry["outs"] for dep in deps)}
    data = (DATA,) if any(dep == DATA or dep.startswith(f"{DATA}/") for dep in deps) else ()
    return (*(name for name in lock if name in makers), *data)


def _overlap(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _ordered(lock: Mapping[str, Any]) -> list[str]:
    """The stages, each after those it needs; dvc.lock has them in the order in which they were first run."""
    placed: list[str] = []
    while len(placed) < len(lock):
        ready = [name for name in lock if name not in placed and {*_needs(name, lock)} <= {*placed, DATA}]
        placed.append(ready[0])
    return placed
