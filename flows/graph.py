"""DVC's view of the project, opened for one operation: its stages, what each needs, and the data below them."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows import workspace
from flows.content import can_go, content_hash, drop_damaged
from model.errors import UserError

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import PipelineStage


@contextmanager
def opened(root: Path, texts: Mapping[str, str | None] | None = None, say: workspace.Say | None = None) -> Iterator["Repo"]:
    """A fresh DVC Repo under the workspace lock, to look only; as if the files of `texts` had these, or were not there."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    for name in ("dvc", "dvc_data", "dvc_objects"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is raised, or looked for afterwards
    with workspace.lock(root, say), workspace.inside(root):
        try:
            with Repo(str(root), fs=_overlaid(root.absolute(), texts) if texts else None, _wait_for_lock=True) as repo:
                yield repo
        except DvcException as error:
            raise UserError(f"DVC: {' '.join(str(error).split())}; mend that and run `stemma plan`") from error


@contextmanager
def changing(root: Path, say: workspace.Say | None = None) -> Iterator["Repo"]:
    """The same, with DVC's own lock besides, to change outputs and dvc.lock."""
    from dvc.repo import lock_repo

    with opened(root, say=say) as repo, lock_repo(repo):
        yield repo


def _overlaid(root: Path, texts: Mapping[str, str | None]) -> Any:
    """A file system where these files have other texts."""
    from io import BytesIO, StringIO

    from dvc.fs import LocalFileSystem

    class Overlay(LocalFileSystem):
        def open(self, path: str, mode: str = "r", **options: Any) -> Any:
            text = texts.get(_below(path))
            if text is not None:
                return BytesIO(text.encode()) if "b" in mode else StringIO(text)
            return super().open(path, mode=mode, **options)

        def exists(self, path: Any, *options: Any, **more: Any) -> Any:
            if isinstance(path, str) and (name := _below(path)) in texts:
                return texts[name] is not None
            return super().exists(path, *options, **more)

        def isfile(self, path: str) -> bool:
            return texts[name] is not None if (name := _below(path)) in texts else super().isfile(path)

    def _below(path: str) -> str:
        return os.path.relpath(Path(path).absolute(), root)

    return Overlay()


def stages(repo: "Repo") -> dict[str, "PipelineStage"]:
    """The stages of dvc.yaml by name, each after those it needs.

    Raises:
        UserError: two need each other.
    """
    from dvc.stage import PipelineStage

    left = {stage.name: stage for stage in repo.index.stages if isinstance(stage, PipelineStage)}
    edges = needs(left)
    placed: dict[str, PipelineStage] = {}
    while left:
        ready = next((name for name in left if all(need in placed for need in edges[name])), None)
        if ready is None:
            raise UserError(f"dvc.yaml: {', '.join(left)}: these need each other in a circle; break it")
        placed[ready] = left.pop(ready)
    return placed


def needs(found: Mapping[str, "PipelineStage"]) -> dict[str, tuple[str, ...]]:
    """Which stages make what each one reads: DVC's own rule, without the half second that its graph library takes to load."""
    makers = [(f"{out.fs_path}/", name) for name, stage in found.items() for out in stage.outs]
    edges = {}
    for name, stage in found.items():
        read = [f"{dep.fs_path}/" for dep in stage.deps if dep not in stage.params]
        made = {maker for path, maker in makers for dep in read if dep.startswith(path) or path.startswith(dep)}
        edges[name] = tuple(other for other in found if other in made)
    return edges


def locked(found: Mapping[str, "PipelineStage"]) -> dict[str, Any]:
    """The entries of dvc.lock by stage, of gone stages too."""
    return next((stage.dvcfile.lockfile_contents.get("stages", {}) for stage in found.values()), {})


def stage(repo: "Repo", name: str) -> "PipelineStage":
    """One stage, without the rest of the graph."""
    from dvc.dvcfile import load_file

    file = load_file(repo, str(Path(repo.root_dir, "dvc.yaml")))
    found = file.stages[name]
    found.dvcfile = file  # which has parsed dvc.lock by now
    return found


@dataclass(frozen=True)
class Shape:
    """What the graph says of a stage."""

    name: str
    needs: tuple[str, ...]  # stages
    command: str
    params: bool  # whether it reads any
    out: str  # the first output that holds no metrics
    metrics: str | None

    @property
    def tracked(self) -> bool:
        """Whether MLflow is to know its runs: a stage of ours that has numbers, or code that can change them."""
        return "--metrics" in self.command or "--code" in self.command


def shapes(repo: "Repo") -> dict[str, Shape]:
    """Every stage by name, in an order in which they can run."""
    found = stages(repo)
    edges, described = needs(found), {}
    for name, stage in found.items():
        outs = [out.def_path for out in stage.outs if not out.metric] or [""]
        metrics = next((out.def_path for out in stage.outs if out.metric), None)
        described[name] = Shape(name, edges[name], str(stage.cmd), bool(stage.params), outs[0], metrics)
    return described


def upstream(described: Mapping[str, Shape], targets: Iterable[str]) -> set[str]:
    """`targets` and all that they need.

    Raises:
        UserError: there is no stage of that name.
    """
    wanted: set[str] = set()
    for name in targets:
        if name not in described:
            raise UserError(f"{name}: no such stage; there is {', '.join(described)}")
        wanted |= {name} | upstream(described, described[name].needs)
    return wanted


def check_sources(repo: "Repo", checkout: bool) -> dict[str, Any]:
    """See that what `data.dvc` and its like describe is there; what is not there, or only in part, comes from the cache if `checkout`.

    Returns what is not there and in the cache: its content by path.

    Raises:
        UserError: data was edited, or is missing and not whole in the cache.
    """
    missing = {}
    for stage in repo.index.stages:
        if stage.cmd is not None:
            continue
        for out in stage.outs:
            if out.exists:
                if not out.changed_checksum():
                    continue
                if not can_go(Path(out.fs_path), out.cache.oid_to_path):
                    keep = f"`dvc add {out.def_path}` makes them a data version"
                    drop = f"`dvc checkout --force {_file(stage)}` drops the changes"
                    raise UserError(f"{out.def_path}: not the files of {_file(stage)}; {keep}, {drop}")
            again = "`stemma ingest` makes it again, `stemma pull` fetches it from a remote"
            if out.changed_cache():
                raise UserError(f"{out.def_path}: files of {_file(stage)} are missing here and in the DVC cache; {again}")
            missing[out.fs_path] = out.get_obj()
            if checkout:
                out.checkout(force=True)
                if content_hash(Path(out.fs_path)) != out.hash_info.value:
                    drop_damaged(out)
                    out.remove()
                    raise UserError(f"{out.def_path}: files of {_file(stage)} are missing here and damaged in the DVC cache; {again}")
    return missing


def _file(stage: Any) -> str:
    return Path(stage.path).name
