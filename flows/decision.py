"""Whether a stage is fresh, restorable or stale, and exactly why: the one rule that planning and running share."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from ruamel.yaml import YAML

from model.errors import UserError

if TYPE_CHECKING:
    from dvc.dependency.param import ParamsDependency
    from dvc.output import Output
    from dvc.repo import Repo
    from dvc.stage import PipelineStage
    from dvc_data.hashfile.obj import HashFile

State = Literal["fresh", "restorable", "stale"]
FILES_NAMED = 3  # of a changed directory


class Unmade(Exception):
    """What lies at a path is not known before a stage has run."""


@dataclass(frozen=True)
class Decision:
    """What is to be done about a stage."""

    state: State
    reasons: list[str]
    key: str | None  # DVC's run-cache key; None below a stale stage, or where DVC cannot make one
    entry: Mapping[str, Any] | None = None  # the outputs to restore, as dvc.lock has them


@dataclass
class Sight:
    """What lies at each path now or, for a plan, will lie there when a stage comes to run."""

    repo: "Repo"
    locked: Mapping[str, Any]  # the stages of dvc.lock
    coming: dict[str, "HashFile | str | None"] = field(default_factory=dict)  # by path of an output: its content, or who will make it
    texts: dict[str, str] = field(default_factory=dict)  # by path: the text of a coming file, where it is known
    seen: dict[str, "HashFile | None"] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)

    def values(self, dep: "ParamsDependency") -> dict[str, Any]:
        """The present value of each parameter that a stage reads, by dotted name; without those that are not there."""
        if dep.fs_path not in self.params:
            with dep.fs.open(dep.fs_path, "r") as file:
                self.params[dep.fs_path] = YAML(typ="safe").load(file) or {}
        return {name: value for name in dep.params if (value := _select(self.params[dep.fs_path], name)) is not None}

    def content(self, item: "Output") -> "HashFile | None":
        """The hashed file or directory of a dependency or output, or None where there is none.

        Raises:
            Unmade: a stage has to run first; the argument is its name.
        """
        for path in (item.fs_path, *map(str, Path(item.fs_path).parents)):
            if path in self.coming:
                made = self.coming[path]
                if isinstance(made, str):
                    raise Unmade(made)
                inside = Path(item.fs_path).relative_to(path).parts
                return cast(Any, made).get_obj(item.local_cache, inside) if inside else made
        for path, made in self.coming.items():
            if path.startswith(item.fs_path + "/"):
                raise Unmade(made if isinstance(made, str) else Path(path).name)
        return self._at(item)

    def _at(self, item: "Output") -> "HashFile | None":
        if item.fs_path not in self.seen:
            self.seen[item.fs_path] = None
            if item.exists:
                built = item._build(
                    item.local_cache, item.fs_path, item.fs, item.hash_name, ignore=item.dvcignore, dry_run=True, no_progress_bar=True
                )
                self.seen[item.fs_path] = built[-1]
        return self.seen[item.fs_path]

    def text(self, item: "Output") -> str:
        """The text of a small file that `content` has seen."""
        return self.texts.get(item.fs_path) or Path(item.fs_path).read_text(encoding="utf-8")


def decide(stage: "PipelineStage", sight: Sight, running: bool = False) -> Decision:
    """Compare a stage with its entry in dvc.lock, then look for its key in the run-cache. Fills in the hashes of its dependencies.

    Args:
        stage: as loaded; its hashes are those of dvc.lock.
        sight: of the same Repo.
        running: its command is at work, so its outputs are in flux and are not looked at.

    Raises:
        UserError: a dependency that no stage makes is missing, or a parameter is.
    """
    lock = sight.locked.get(stage.name)
    if stage.is_callback or stage.always_changed:
        return Decision("stale", ["runs every time"], None)
    reasons = ["not in dvc.lock"] if lock is None else [*_changes(stage, sight)]
    if not _fill(stage, sight):
        return Decision("stale", reasons, None)
    key = _key(stage)
    if running:
        return Decision("stale", [*reasons, "running now"], key)
    entries = _entries(stage.repo, key) if key else []
    if not reasons:
        reasons = [*_changed_outputs(stage, sight)]
        if not reasons:
            reasons = [f"{out.def_path} is not wholly in the DVC cache" for out in stage.outs if out.use_cache and out.changed_cache()]
            return Decision("restorable", reasons, key, lock) if reasons else Decision("fresh", [], key)
        entries = [sight.locked[stage.name], *entries]
    for entry in entries:
        if _in_cache(stage, entry):
            return Decision("restorable", reasons, key, entry)
    return Decision("stale", reasons, key)


def _changes(stage: "PipelineStage", sight: Sight) -> Iterator[str]:
    """How command, dependencies and parameters differ from dvc.lock."""
    if stage.cmd_changed:
        yield "the command changed"
    if stage.frozen:
        return
    for dep in stage.deps:
        if dep in stage.params:
            yield from _changed_params(dep.hash_info.value or {}, sight.values(dep))
            continue
        try:
            now = sight.content(dep)
        except Unmade as maker:
            yield f"{dep.def_path} will be made again by {maker}"
            continue
        if now is None:
            raise _missing(stage, dep)
        if not dep.hash_info:
            yield f"{dep.def_path} is a new dependency"
        elif now.hash_info != dep.hash_info:
            yield from [*_explain(dep, now, sight)] or [f"{dep.def_path} changed"]


def _fill(stage: "PipelineStage", sight: Sight) -> bool:
    """Set the present hash of every dependency; False if one is not known yet."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.meta import Meta

    for dep in stage.deps:
        if dep in stage.params:
            values = sight.values(dep)
            if missing := [name for name in dep.params if name not in values]:
                raise UserError(f"{dep.def_path}: {', '.join(missing)}: missing, and stage {stage.name} reads it; add it")
            dep.hash_info = HashInfo(dep.PARAM_PARAMS, cast(str, values))  # DVC keeps the values there
            continue
        try:
            now = sight.content(dep)
        except Unmade:
            return False
        if now is None:
            raise _missing(stage, dep)
        dep.hash_info, dep.meta = now.hash_info, Meta()  # what dvc.lock had in `meta` would go into the key
    return True


def _missing(stage: "PipelineStage", dep: "Output") -> UserError:
    ingest = "`stemma ingest` makes it" if dep.def_path == "data" else "put it there, or take it out of dvc.yaml"
    return UserError(f"{dep.def_path}: missing, and stage {stage.name} needs it; {ingest}")


def _select(values: Any, name: str) -> Any:
    for key in name.split("."):
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def _changed_params(locked: Mapping[str, Any], present: Mapping[str, Any]) -> Iterator[str]:
    before, after = dict(_flat(locked)), dict(_flat(present))
    for name in sorted({*before, *after}):
        if name not in before:
            yield f"{name}: {_show(after[name])} is new"
        elif name not in after:
            yield f"{name}: {_show(before[name])} is gone"
        elif before[name] != after[name]:
            yield f"{name}: {_show(before[name])} -> {_show(after[name])}"


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _show(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _explain(dep: "Output", now: "HashFile", sight: Sight) -> Iterator[str]:
    """Which function, library or file makes the difference, as far as the cache still has what was before."""
    from dvc_data.hashfile.tree import Tree

    stored = Path(dep.local_cache.oid_to_path(dep.hash_info.value))
    if isinstance(now, Tree):
        yield from _changed_files(dep.def_path, stored, now)
    elif stored.is_file() and _is_fingerprint(dep):
        from tasks import code

        yield from code.explain(json.loads(stored.read_text(encoding="utf-8")), json.loads(sight.text(dep)))


def _is_fingerprint(dep: "Output") -> bool:
    return Path(dep.fs_path).parent.name == "code" and dep.def_path in dep.stage.cmd.split("--code ")[-1]


def _changed_files(name: str, stored: Path, now: Any) -> Iterator[str]:
    if not stored.is_file():  # source folders are not in the cache
        return
    before = {entry["relpath"]: entry["md5"] for entry in json.loads(stored.read_text(encoding="utf-8"))}
    after = {"/".join(parts): info.value for parts, _, info in now}
    changed = sorted(file for file in {*before, *after} if before.get(file) != after.get(file))
    for file in changed[:FILES_NAMED]:
        how = "is new" if file not in before else "is gone" if file not in after else "changed"
        yield f"{name}/{file} {how}"
    if len(changed) > FILES_NAMED:
        yield f"and {len(changed) - FILES_NAMED} more files of {name}"


def _changed_outputs(stage: "PipelineStage", sight: Sight) -> Iterator[str]:
    for out in stage.outs:
        now = sight.content(out)
        if now is None:
            yield f"{out.def_path} is missing"
        elif not out.hash_info:
            yield f"{out.def_path} is a new output"
        elif now.hash_info != out.hash_info:
            yield f"{out.def_path} is not what the stage made"


def _key(stage: "PipelineStage") -> str | None:
    """As DVC makes it, but from the hashes that are filled in: DVC would look at the workspace again."""
    from dvc.stage.cache import _get_cache_hash
    from dvc.stage.serialize import to_single_stage_lockfile

    if not stage.deps or not stage.outs or any(out.persist for out in stage.outs):
        return None
    return _get_cache_hash(to_single_stage_lockfile(stage), key=True)


def _entries(repo: "Repo", key: str) -> Iterator[Mapping[str, Any]]:
    """What the run-cache has under a key, the newest first."""
    folder = Path(repo.stage_cache._get_cache_dir(key))
    if folder.is_dir():
        for file in sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime, reverse=True):
            if entry := repo.stage_cache._load_cache(key, file.name):
                yield entry


def _in_cache(stage: "PipelineStage", entry: Mapping[str, Any]) -> bool:
    from dvc.stage.loader import StageLoader

    if {out["path"] for out in entry.get("outs", [])} != {out.def_path for out in stage.outs}:
        return False
    StageLoader.fill_from_lock(stage, entry)
    return all(out.use_cache and not out.changed_cache() for out in stage.outs)
