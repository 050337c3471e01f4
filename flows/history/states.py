"""A state of the project, as a commit has it, and what going back to it would change here; nothing is changed."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flows import documents, graph
from flows import plan as planning
from flows.content import content_hash
from flows.data import copies
from flows.history import objects, placement, run_commits
from flows.history.git import blobs, commit_of, git, paths
from flows.history.references import Reference
from flows.history.run_commits import CODE, FILES, Part
from flows.plan import StagePlan
from model.errors import UserError
from tasks.registry import aliases, records

Files = dict[str, tuple[str, str] | None]  # mode and blob by path below the project; None: not there

READ = ("data.dvc", "params.yaml", "dvc.lock")  # by DVC, and by a plan


@dataclass(frozen=True)
class AliasMove:
    """An alias of a model, the version it points at, and the one that it is to point at; None: none."""

    name: str
    alias: str
    before: int | None
    after: int | None


@dataclass(frozen=True)
class Change:
    """What going back takes: files of the work tree, outputs out of the cache, aliases."""

    title: str  # of the state, for people
    commit: str | None
    files: Files
    changed: list[str]  # those of `files` that differ now
    outs: dict[str, str]  # hash by path, data among them
    other: list[str]  # those of `outs` that are not what lies there now
    gone: list[str]  # outputs that the state has not
    moves: list[AliasMove]
    forgotten: int  # rows of its data that forgotten.txt lists
    rebuilds: list[StagePlan]  # what the next run would not leave alone

    @property
    def nothing(self) -> bool:
        """Whether all of it is so already."""
        return not (self.changed or self.other or self.gone or self.moves)

    def lines(self) -> Iterator[str]:
        """For people: what will change."""
        yield f"to {self.title}" + (f", as in commit {self.commit[:10]}" if self.commit else "")
        for kind, names in {"files": self.changed, "outputs": self.other, "outputs that go": self.gone}.items():
            if names:
                yield f"  {kind}: {', '.join(names)}"
        for move in self.moves:
            yield f"  model {move.name}: {move.alias} {move.before or 'none'} -> {move.after or 'none'}"
        if self.forgotten:
            yield f"  its data without {self.forgotten} rows that are to be forgotten, as a new data version"
        if self.rebuilds:
            yield "what the next run would make again, since code, numbers or data have moved on (--code takes the code back too):"
        for stage in self.rebuilds:
            yield f"  {stage.name}: {stage.state}, {'; '.join(stage.reasons)}"

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def change_to(root: Path, state: Reference, parts: frozenset[Part]) -> Change:
    """What it takes to bring these parts of a state back.

    Raises:
        UserError: its commit is not known or not here, holds no data version, or has numbers that do not go with the stages here.
        TrackingError: the registry does not answer.
    """
    commit = _commit(root, state, parts)
    there = listed(root, commit) if commit else {}
    head = commit_of(root, "HEAD")
    here = {*(listed(root, head) if head else ()), *_on_disk(root, "code" in parts)}
    files = {path: there.get(path) for path in sorted({*there, *here}) if _part(path) in parts}
    texts = {path: _text(root, there.get(path)) for path in READ}
    if "data" in parts and not texts["data.dvc"]:
        raise UserError(f"{state}: no data.dvc in commit {commit}; name a state that has data")
    described: dict[str, dict[str, str]] = {"data": _outs("data.dvc", texts["data.dvc"]), "run": _outs("dvc.lock", texts["dvc.lock"])}
    outs = {path: md5 for part in described if part in parts for path, md5 in described[part].items()}
    now: dict[str, str] = {}
    if "run" in parts:
        with suppress(UserError):  # a broken one is what the rollback mends
            now = _outs("dvc.lock", _on_disk_text(root, "dvc.lock"))
    never = _never_here(root, {path: md5 for path, md5 in outs.items() if now.get(path) == md5 and not (root / path).exists()})
    outs = {path: md5 for path, md5 in outs.items() if path not in never}
    try:
        rebuilds = _rebuilds(root, {path: texts[path] for path in READ if path in files}, outs) if outs and "code" not in parts else []
    except UserError as error:
        if error.__cause__ is None or "run" not in parts:
            raise
        wrong = f"{state}: its numbers and the stages here do not go together ({error.__cause__})"
        raise UserError(f"{wrong}; --code takes the code back too, --data-only the data alone") from None
    return Change(
        title=str(state),
        commit=commit,
        files=files,
        changed=_changed(root, files),
        outs=outs,
        other=[path for path, md5 in outs.items() if content_hash(root / path) != md5],
        gone=[path for path in now if (root / path).exists() and not any(f"{kept}/".startswith(f"{path}/") for kept in outs)],
        moves=_moves(root, state, set(described["run"].values())) if "models" in parts else [],
        forgotten=copies.rows_to_forget(root, outs["data"]) if "data" in outs else 0,
        rebuilds=rebuilds,
    )


def listed(root: Path, tree: str) -> Files:
    """The files of the project in a commit or a tree."""
    entries = (entry.partition("\t") for entry in paths(git(root, "ls-tree", "-r", "-z", tree)))
    return {path: (about.split()[0], about.split()[2]) for about, _, path in entries if about.split()[1] == "blob"}


def _commit(root: Path, state: Reference, parts: frozenset[Part]) -> str | None:
    if state.commit is None and parts != {"models"}:
        raise UserError(f"{state}: no run commit is known of it; --model-only moves its aliases alone")
    commit = state.commit and commit_of(root, state.commit)
    if state.commit and not commit:
        raise UserError(f"{state}: its commit {state.commit[:10]} is not in this clone; `stemma pull` fetches it")
    return commit


def _part(path: str) -> Part | None:
    if path.startswith("metrics/") and path.endswith(".json"):
        return "run"
    return "code" if path.partition("/")[0] in CODE else FILES.get(path)


def _on_disk(root: Path, code: bool) -> Iterator[str]:
    """The paths that may have to go: files of a state in the work tree, tracked or not."""
    yield from (path for path in FILES if (root / path).exists())
    yield from (f"metrics/{file.name}" for file in (root / "metrics").glob("*.json"))
    if code:
        yield from listed(root, run_commits.snapshot(root))


def _on_disk_text(root: Path, path: str) -> str | None:
    return (root / path).read_text(encoding="utf-8") if (root / path).is_file() else None


def _text(root: Path, entry: tuple[str, str] | None) -> str | None:
    [content] = blobs(root, [entry[1]]) if entry else [None]
    return None if content is None else content.decode()


def _changed(root: Path, files: Files) -> list[str]:
    """Those that are not on disk as they are to be."""
    wanted = {path: entry[1] for path, entry in files.items() if entry}
    contents = dict(zip(wanted, blobs(root, wanted.values()), strict=True))
    return [path for path in files if contents.get(path) != ((root / path).read_bytes() if (root / path).is_file() else None)]


def _outs(name: str, text: str | None) -> dict[str, str]:
    """Hash by path of what a data.dvc or a dvc.lock describes."""
    key = "outs" if name == "data.dvc" else "stages"
    described = documents.mapping(name, text, key, "name another state") if text else {}
    entries = [described, *described.get("stages", {}).values()]
    return {out["path"]: out["md5"] for entry in entries for out in entry.get("outs", [])}


def _moves(root: Path, state: Reference, hashes: set[str]) -> list[AliasMove]:
    """Of each model, the aliases as they were once the version that belongs to the state was registered; one asked for is champion."""
    versions = records.versions(root)
    belonging = {}
    for version in reversed(versions):
        if version.tags.get(f"stemma.hash.finetune.{version.name}") in hashes or (version.name, version.version) == state.model:
            belonging[version.name] = version
    moves = []
    for name, version in sorted(belonging.items()):
        there = {other.version: other for other in versions if other.name == name}
        now = {alias: other.version for other in there.values() for alias in other.aliases}
        then = aliases.when_registered(root, version)
        if state.model and state.model[0] == name:
            then = {alias: number for alias, number in then.items() if number != state.model[1]} | {"champion": state.model[1]}
        moves += [
            AliasMove(name, alias, now.get(alias), then.get(alias))
            for alias in aliases.GIVEN
            if now.get(alias) != then.get(alias) and then.get(alias, version.version) in there
        ]
    return moves


def _never_here(root: Path, absent: Mapping[str, str]) -> set[str]:
    """Of outputs that are as absent as they were, those of another machine: dvc.lock came with them, and a run of other stages kept it."""
    if not absent:
        return set()
    with objects.opened(root) as store:
        return {path for path, md5 in absent.items() if not placement.has(store, md5)}


def _rebuilds(root: Path, texts: Mapping[str, str | None], outs: Mapping[str, str]) -> list[StagePlan]:
    """What a run would do with the present code if the project's files were these, and `outs` lay checked out."""
    with graph.opened(root, texts) as repo:
        present = (out for stage in repo.index.stages for out in stage.outs)
        coming = {out.fs_path: out.get_obj() for out in present if out.def_path in outs and out.hash_info}
        foreseen = planning.foresee(repo, root, coming)
        return [
            StagePlan(stage.name, decision.state, decision.reasons, None, decision.key)
            for stage, decision in foreseen
            if decision.state != "fresh"
        ]
