"""What a run would do and why, without doing it."""

import hashlib
import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows import graph, processes
from flows.decision import Decision, Sight, State, decide

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import PipelineStage
    from dvc_data.hashfile.tree import Tree

CODE = ("python", "-m", "tasks", "code")


@dataclass(frozen=True)
class StagePlan:
    """One stage of a plan; `seconds` is how long it took the last time, None where it is not known or nothing would run."""

    name: str
    state: State
    reasons: list[str]
    seconds: float | None
    key: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def plan(root: Path, params: str | None = None) -> list[StagePlan]:
    """Every stage in the order of the graph, as it will be when all before it have been brought up to date.

    Args:
        root: the project.
        params: what params.yaml would say; None for what it says.

    Raises:
        UserError: the data is missing or edited, dvc.yaml or params.yaml is not valid.
    """
    seconds = recorded_seconds(root)
    with graph.opened(root, {"params.yaml": params} if params else None) as repo:
        coming = graph.check_sources(repo, checkout=False)
        return [
            StagePlan(
                stage.name, decision.state, decision.reasons, seconds.get(stage.name) if decision.state == "stale" else None, decision.key
            )
            for stage, decision in foresee(repo, root, coming)
        ]


def summary(stages: Sequence[StagePlan]) -> str:
    """One line: how many stages a run would restore and execute, and how much work these were the last time, one after the other."""
    stale = [stage for stage in stages if stage.state == "stale"]
    known = [stage.seconds for stage in stale if stage.seconds is not None]
    restored = sum(stage.state == "restorable" for stage in stages)
    parts = [f"{len(stale)} of {len(stages)} stages would run"]
    if restored:
        parts.append(f"{restored} would be restored")
    if known:
        parts.append(f"{sum(known):.0f} s of work, as long as they took the last time")
    if len(stale) > len(known):
        parts.append(f"{len(stale) - len(known)} not yet timed here")
    return "; ".join(parts)


def foresee(repo: "Repo", root: Path, coming: dict[str, Any] | None = None) -> Iterator[tuple["PipelineStage", Decision]]:
    """Every stage in the order of the graph, and what is to be done about it once all before it are up to date.

    `coming`: by path, what will be checked out of the cache first.
    """
    running, stages = processes.running(root), graph.stages(repo)
    sight = Sight(repo, graph.locked(stages), coming or {})
    for name, stage in stages.items():
        decision = decide(stage, sight, name in running)
        _foresee(stage, decision, sight, root)
        yield stage, decision


def recorded_seconds(root: Path) -> dict[str, float]:
    """How long each stage took the last time it ran here."""
    file = root / ".stemma" / "seconds.jsonl"
    found = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        with suppress(json.JSONDecodeError):  # a full disk cuts the last line, and the next one begins where it ends
            record = json.loads(line)
            found[record["stage"]] = record["seconds"]
    return found


def _foresee(stage: "PipelineStage", decision: Decision, sight: Sight, root: Path) -> None:
    """Tell `sight` what will lie at the outputs of a stage that is not fresh."""
    if decision.state == "fresh":
        return
    command = shlex.split(stage.cmd) if isinstance(stage.cmd, str) else []
    for out in stage.outs:
        if decision.state == "restorable":
            sight.coming[out.fs_path] = out.get_obj() or sight.content(out)
        elif tuple(command[:4]) == CODE and len(stage.outs) == 1:
            sight.coming[out.fs_path] = _fingerprints(root, command[4:7], Path(out.fs_path), sight)
        else:
            sight.coming[out.fs_path] = stage.name


def _fingerprints(root: Path, paths: list[str], out: Path, sight: Sight) -> "Tree":
    """The output of stage `code`, made in memory: it takes a fraction of a second, and nearly everything depends on it."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.meta import Meta
    from dvc_data.hashfile.tree import Tree

    from tasks import code

    tree = Tree()
    for name, content in code.fingerprints(*(root / path for path in paths)).items():
        text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"  # as stage `code` writes it
        sight.texts[str(out / name)] = text
        tree.add((name,), Meta(), HashInfo("md5", hashlib.md5(text.encode()).hexdigest()))
    tree.digest()
    return tree
