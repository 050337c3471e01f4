"""A commit in a checkout of its own, beside the user's: its own code, the project's cache, MLflow and Prefect."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from flows import environment, graph, processes
from flows.history import needed
from flows.history.git import git, prefix, texts
from model.errors import UserError

SHARED = ("mlflow", "prefect")  # folders of the project's state; the rest of a checkout's is its own
SHARED_FILES = ("services.json", "seconds.jsonl")
LOCK = "checkout-"
NEEDED = {"flows/cli.py": "no Stemma project", "dvc.yaml": "no stages", "data.dvc": "no data version"}


@contextmanager
def isolated(root: Path, commit: str, shared_cache: bool = True) -> Iterator[Path]:
    """A git worktree of `commit` below `.stemma/checkouts/`, with its data; with a DVC cache of its own, empty, unless `shared_cache`.

    Removed in the end with every process in it. What killed ones have left goes first; checkpoints of the same commit are gone on from.

    Raises:
        UserError: the commit holds no project, or its data is not in the cache.
    """
    require_project(root, commit)
    name = f"{commit[:10]}-{secrets.token_hex(4)}"
    lock = _lock(root, name)
    place = _folder(root) / name
    with none_begins(root):
        lock.acquire()
    try:
        _without_hooks(root, "worktree", "add", "--quiet", "--detach", str(place), commit)
        project = place / prefix(root)
        _share_state(root, project)
        remove_leftovers(root, heir=place)
        _configure(root, project, needed.cache(root))
        with graph.changing(project) as repo:
            graph.check_sources(repo, checkout=True)
        if not shared_cache:
            _configure(root, project, project / ".dvc" / "cache")
        environment.record(project)
        yield project
    finally:
        _remove(root, place)
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def require_project(root: Path, commit: str) -> None:
    """Raise UserError unless `commit` holds code, stages and a data version."""
    found = texts(root, (f"{commit}:./{file}" for file in NEEDED))
    for (file, lack), text in zip(NEEDED.items(), found, strict=True):
        if text is None:
            raise UserError(f"{commit[:10]}: {lack} in this commit, {file} is not there; commit it, or name another")


def remove_leftovers(root: Path, heir: Path | None = None) -> list[str]:
    """Remove the checkouts whose owners were killed, with what still runs in them; their names.

    `heir`: a checkout that takes over the checkpoints of those of its own commit.
    """
    removed = []
    for name in _names(root):
        with suppress(Timeout), (lock := _lock(root, name, blocking=False)):
            if heir and name.partition("-")[0] == heir.name.partition("-")[0]:
                _bequeath(root, _folder(root) / name, heir)
            _remove(root, _folder(root) / name)
            removed.append(name)
            Path(lock.lock_file).unlink(missing_ok=True)
    return removed


def in_use(root: Path) -> bool:
    """Whether somebody is at work in a checkout; for a look, since it may end or begin at any moment."""
    for name in _names(root):
        try:
            with _lock(root, name, blocking=False):
                continue
        except Timeout:
            return True
    return False


@contextmanager
def none_begins(root: Path) -> Iterator[None]:
    """Whoever wants a checkout waits until the end."""
    file = root / ".stemma" / "locks" / "checkouts"
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file):
        yield


def _folder(root: Path) -> Path:
    return root / ".stemma" / "checkouts"


def _lock(root: Path, name: str, blocking: bool = True) -> FileLock:
    """Held by the owner of a checkout; the system lets go of it when that is killed."""
    file = root / ".stemma" / "locks" / f"{LOCK}{name}"
    file.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(file, blocking=blocking)


def _names(root: Path) -> list[str]:
    """Of every checkout that is there, or was begun."""
    begun = (file.name.removeprefix(LOCK) for file in (root / ".stemma" / "locks").glob(f"{LOCK}*"))
    return sorted({*begun, *(place.name for place in _folder(root).glob("*"))})


def _share_state(root: Path, project: Path) -> None:
    state = project / ".stemma"
    state.mkdir(exist_ok=True)
    for name in SHARED:
        (root / ".stemma" / name).mkdir(parents=True, exist_ok=True)
    for name in (*SHARED, *SHARED_FILES):
        (state / name).symlink_to((root / ".stemma" / name).resolve())


def _configure(root: Path, project: Path, cache: Path) -> None:
    """DVC's settings as they are in the project now, remotes and all, and not as the commit has them."""
    from dvc.config import Config, merge
    from dvc.config_schema import RelPath

    present = Config(str(root / ".dvc")).read()
    with Config(str(project / ".dvc")).edit("local") as local:
        merge(local, {key: present[key] for key in ("core", "cache", "remote") if key in present})
        local["cache"]["dir"] = RelPath(str(cache))  # a plain path would be written in ASCII


def _bequeath(root: Path, place: Path, heir: Path) -> None:
    checkpoints = prefix(root) + ".stemma/checkpoints"
    processes.end_leftovers(place / prefix(root))
    if (place / checkpoints).exists():
        shutil.copytree(place / checkpoints, heir / checkpoints, dirs_exist_ok=True)


def _remove(root: Path, place: Path) -> None:
    """By hand: git refuses to remove a checkout that was not wholly made, and would forget other missing ones as well."""
    processes.end_leftovers(place / prefix(root))
    shutil.rmtree(place, ignore_errors=True)
    for entry in (root / git(root, "rev-parse", "--git-common-dir") / "worktrees").glob("*/gitdir"):
        if Path(entry.read_text(encoding="utf-8").strip()) == place.resolve() / ".git":
            shutil.rmtree(entry.parent)


def _without_hooks(root: Path, *arguments: str) -> None:
    git(root, "-c", f"core.hooksPath={os.devnull}", *arguments)
