"""One stage of dvc.yaml brought up to date: left alone, restored, or run and committed."""

import errno
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from flows import graph, processes, room
from flows.content import content_hash, drop_damaged
from flows.decision import Decision, Sight, decide
from model.errors import UserError

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

Outcome = Literal["ran", "restored", "unchanged", "failed", "skipped"]


@dataclass(frozen=True)
class StageResult:
    """What became of a stage; `outs` has the hash of each output, `tail` the last lines of a failed command."""

    name: str
    outcome: Outcome
    reasons: list[str]
    seconds: float = 0.0
    key: str | None = None
    outs: dict[str, str] = field(default_factory=dict)
    tail: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


Begin = Callable[[str, str | None, list[str]], Mapping[str, str]]  # (stage, key, reasons) -> variables for its command


def bring_up_to_date(pack: processes.Pack, name: str, begin: Begin, force: bool = False) -> StageResult:
    """Decide, then restore or run one stage. What it needs must be up to date.

    The workspace is locked while deciding, restoring and committing, and not while the command runs. `begin` is called when it is about to.
    """
    root, began = pack.root, time.monotonic()
    try:
        with graph.changing(root) as repo:
            stage = graph.stage(repo, name)
            decision = decide(stage, Sight(repo, graph.locked({name: stage})))
            if force:
                decision = Decision("stale", [*decision.reasons, "--force"], decision.key)
            if decision.state == "fresh":
                return unchanged(stage, decision)
            reasons = decision.reasons
            if decision.state == "restorable":
                damaged = _restore(repo, stage, decision)
                if not damaged:
                    return StageResult(name, "restored", reasons, time.monotonic() - began, decision.key, _hashes(stage))
                reasons = [*reasons, *(f"{path} was damaged in the DVC cache" for path in damaged)]
            stage.remove_outs()
            inputs = _inputs(stage)
            log = root / ".stemma" / "logs" / f"{name}.log"
            group = pack.start(name, processes.shell(stage.cmd), begin(name, decision.key, reasons), log)
        with _recorded(group) as code:
            if code:
                return _failed(name, began, f"exit code {code}", log)
            with graph.changing(root) as repo, _disk_space():
                stage = graph.stage(repo, name)
                _commit(repo, stage, inputs)
                group.forget()
    except UserError as error:
        return StageResult(name, "failed", [str(error)], time.monotonic() - began)
    seconds = time.monotonic() - began
    _remember(root, name, decision.key, seconds)
    shutil.rmtree(root / ".stemma" / "checkpoints" / name, ignore_errors=True)
    return StageResult(name, "ran", reasons, seconds, decision.key, _hashes(stage))


def unchanged(stage: "PipelineStage", decision: Decision) -> StageResult:
    """What becomes of a stage that is fresh: nothing."""
    return StageResult(stage.name, "unchanged", [], key=decision.key, outs=_hashes(stage))


@contextmanager
def _recorded(group: processes.Group) -> Iterator[int]:
    try:
        yield group.wait()
    finally:
        group.forget()


def _failed(name: str, began: float, how: str, log: Path) -> StageResult:
    tail = processes.tail(log)
    last = next((line.strip() for line in reversed(tail) if line.strip()), "no output")
    reason = f"{name}: {how}: {last}; `stemma run --only {name}` runs it again, its output is in {log.relative_to(log.parents[2])}"
    return StageResult(name, "failed", [reason], time.monotonic() - began, tail=tail)


def _inputs(stage: "PipelineStage") -> dict[str, Any]:
    """What the outputs will be made from: command, and hash or values of each dependency."""
    return {"the command": stage.cmd, **{str(dep.def_path): dep.hash_info.value for dep in stage.deps}}


def _commit(repo: "Repo", stage: "PipelineStage", inputs: Mapping[str, Any]) -> None:
    """Take the outputs into the cache, dvc.lock and the run-cache.

    Raises:
        UserError: an input changed while the stage ran, so nobody knows what the outputs were made from; or an output is not there.
    """
    from dvc.output import OutputDoesNotExistError

    stage.save_deps()
    changed = [path for path, before in inputs.items() if _inputs(stage).get(path) != before]
    if changed:
        raise UserError(f"{', '.join(changed)}: changed while {stage.name} ran; `stemma run` runs it again")
    try:
        stage.save(run_cache=all(out.use_cache or out.metric or out.plot for out in stage.outs))
    except OutputDoesNotExistError:
        missing = [out.def_path for out in stage.outs if not out.exists]
        raise UserError(f"{', '.join(missing)}: {stage.name} did not write it; mend the stage or its entry in dvc.yaml") from None
    _store(stage)
    _enter(stage)


def _store(stage: "PipelineStage") -> None:
    """Put the outputs into the cache; DVC logs an object that it could not write, and goes on as if it had."""
    stage.commit()
    lost = [out.def_path for out in stage.outs if out.use_cache and out.changed_cache()]
    if lost:
        raise UserError(f"{', '.join(lost)}: could not be written to the DVC cache; make room on its disk, then `stemma run` goes on")


def _write_lock(root: Path, document: dict[str, Any]) -> None:
    """Write dvc.lock whole or not at all, where DVC would write in place, and in the order of names, whichever stage ended first."""
    from dvc.utils.serialize import dump_yaml

    partial = root / ".stemma" / "dvc.lock.partial"
    dump_yaml(str(partial), document | {"stages": dict(sorted(document["stages"].items()))})
    partial.replace(root / "dvc.lock")


def _enter(stage: "PipelineStage") -> None:
    """Put what `stage` holds into its entry of dvc.lock."""
    from dvc.stage.serialize import to_lockfile

    document = {"schema": "2.0", "stages": {}} | stage.dvcfile.lockfile_contents
    document["stages"] |= to_lockfile(stage)
    _write_lock(Path(stage.repo.root_dir), document)


@contextmanager
def _disk_space() -> Iterator[None]:
    """A full disk, or a limit on file sizes, is a person's to mend."""
    try:
        yield
    except OSError as error:
        if error.errno not in (*room.FULL, errno.EROFS, errno.EACCES):
            raise
        raise UserError(f"{error.filename or '.dvc/cache'}: {error.strerror}; make room there, then `stemma run` goes on") from error


def _restore(repo: "Repo", stage: "PipelineStage", decision: Decision) -> list[str]:
    """Bring outputs back from the cache and see that they are what was asked for; damaged ones are dropped, object and output.

    DVC trusts a cache object by its file mode alone.
    """
    from dvc.stage.loader import StageLoader

    StageLoader.fill_from_lock(stage, decision.entry)
    for out in stage.outs:
        if content_hash(Path(out.fs_path)) != out.hash_info.value:
            stage._checkout(out, force=True)
    damaged = [out for out in stage.outs if content_hash(Path(out.fs_path)) != out.hash_info.value]
    for out in damaged:
        drop_damaged(out)
        out.remove()
    if not damaged:
        stage.save(run_cache=False)
        _store(stage)
        _enter(stage)
    return [out.def_path for out in damaged]


def _hashes(stage: "PipelineStage") -> dict[str, str]:
    return {out.def_path: out.hash_info.value for out in stage.outs}


def _remember(root: Path, name: str, key: str | None, seconds: float) -> None:
    with (root / ".stemma" / "seconds.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"stage": name, "key": key, "seconds": round(seconds, 3)}) + "\n")


def prune(repo: "Repo") -> list[str]:
    """Remove the lock entries and outputs of stages that dvc.yaml no longer has; their names. `repo` is open for changes.

    The objects stay in the cache, so a key that comes back to params.yaml is restored.
    """
    root = Path(repo.root_dir)
    present = graph.stages(repo)
    locked = graph.locked(present)
    gone = [name for name in locked if name not in present]
    kept = {out.def_path for stage in present.values() for out in stage.outs}
    for name in gone:
        for path in {out["path"] for out in locked[name].get("outs", [])} - kept:
            _remove(root, path)
        shutil.rmtree(root / ".stemma" / "checkpoints" / name, ignore_errors=True)
    if gone:
        _write_lock(root, {"schema": "2.0", "stages": {name: locked[name] for name in locked if name in present}})
        repo._reset()  # the lock entries have been read
    return gone


def _remove(root: Path, path: str) -> None:
    target = (root / path).resolve()
    if root.resolve() not in target.parents:
        return
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)
