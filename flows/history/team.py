"""`stemma push` and `stemma pull`: run commits by way of git's remote `origin`; what they need, and the run-cache, by DVC's remote."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.history import needed, run_commits
from flows.history.git import commit_of, git
from flows.history.run_commits import REFS
from model.errors import UserError

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc_data.hashfile.db import HashFileDB

THERE = "refs/stemma/"  # where they lie in the remote repository: nobody's branches


@dataclass(frozen=True)
class Moved:
    """What a push or a pull has brought over; what was there already is not counted."""

    run_commits: int
    objects: int  # of the DVC cache
    records: int  # of the run-cache: which inputs gave which outputs
    missing: int  # objects that neither side has

    def __str__(self) -> str:
        """For people."""
        lost = f"; {self.missing} objects are nowhere, `stemma verify` can make those of a model again" if self.missing else ""
        return f"{self.run_commits} run commits, {self.objects} objects, {self.records} run-cache records{lost}"


def push(root: Path) -> Moved:
    """Bring the run commits and all they need to where colleagues find them; the commits last, so that none comes without its objects.

    Raises:
        UserError: there is no git remote `origin` or no DVC remote, or it cannot be reached.
    """
    _require_origin(root)
    run_commits.require_place(root)
    known = set(git(root, "ls-remote", "origin", f"{THERE}*").split()[1::2])
    with _connected(root) as repo:
        here, missing = needed.whole(needed.cache(root), _needed(root))
        moved = repo.cloud.push(_hash_infos(here - missing))
        records = _copy_records(repo.cache.legacy, repo.cloud.get_remote_odb(command="push", hash_name="md5-dos2unix"))
    if moved.failed:
        raise UserError(f"push: {len(moved.failed)} objects did not get through to the DVC remote; `stemma push` goes on from here")
    sent = [run for run in run_commits.listed(root) if THERE + run.ref.removeprefix(REFS) not in known]
    if sent:
        git(root, "push", "--quiet", "--no-verify", "origin", f"{REFS}*:{THERE}*")
    return Moved(len(sent), len(moved.transferred), records, len(missing))


def pull(root: Path) -> Moved:
    """Fetch the run commits that colleagues have pushed, and all they need; the work tree stays as it is, and `stemma run` restores.

    Raises:
        UserError: there is no git remote `origin` or no DVC remote, or it cannot be reached.
    """
    _require_origin(root)
    run_commits.require_place(root)
    known = {run.ref for run in run_commits.listed(root)}
    with _connected(root) as repo:
        git(root, "fetch", "--quiet", "--no-tags", "--no-prune", "origin", f"{THERE}*:{REFS}*")
        names, num_objects = _needed(root), 0
        for _ in range(2):  # the lists of folders, then the files in them
            lacking = needed.whole(needed.cache(root), names)[1]
            for damaged in (file for name in lacking if (file := needed.place(needed.cache(root), name)).is_file()):
                damaged.chmod(0o644)  # DVC would take it for good: it trusts what nobody may write
            num_objects += len(repo.cloud.pull(_hash_infos(lacking)).transferred)
        records = _copy_records(repo.cloud.get_remote_odb(command="pull", hash_name="md5-dos2unix"), repo.cache.legacy)
    missing = needed.whole(needed.cache(root), names)[1]
    came = [run for run in run_commits.listed(root) if run.ref not in known]
    return Moved(len(came), num_objects, records, len(missing))


def _needed(root: Path) -> set[str]:
    """What the run commits, HEAD and the work tree name; files of folders aside."""
    head = commit_of(root, "HEAD")
    commits = [*(run.commit for run in run_commits.listed(root)), *([head] if head else [])]
    return needed.of_commits(root, commits) | needed.of_work_tree(root)


def _require_origin(root: Path) -> None:
    if "origin" not in git(root, "remote").splitlines():
        raise UserError("git: no remote called origin, which run commits go by; `git remote add origin ADDRESS` names one")


@contextmanager
def _connected(root: Path) -> "Iterator[Repo]":
    """A Repo with a remote; no lock is held while data travels, since objects are only ever added."""
    from dvc.config import NoRemoteError
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        try:
            repo.cloud.get_remote_odb(command="push")
            yield repo
        except NoRemoteError:
            raise UserError("DVC: no remote; `dvc remote add --local --default store ADDRESS` names one") from None
        except (DvcException, OSError) as error:
            raise UserError(f"DVC remote: {' '.join(str(error).split())}; mend that and try again") from error


def _hash_infos(names: set[str]) -> list[Any]:
    from dvc_data.hashfile.hash_info import HashInfo

    return [HashInfo("md5", name) for name in sorted(names)]


def _copy_records(source: "HashFileDB", target: "HashFileDB") -> int:
    """Bring over the records of the run-cache that are not there: DVC itself copies all of them each time."""
    from dvc_objects.fs.generic import copy

    runs, copied = source.fs.join(source.path, "runs"), 0
    for record in source.fs.find(runs) if source.fs.exists(runs) else []:
        there = target.fs.join(target.path, *source.fs.parts(source.fs.relpath(record, source.path)))
        if not target.fs.exists(there):
            target.fs.makedirs(target.fs.parent(there), exist_ok=True)
            copy(source.fs, record, target.fs, there)
            copied += 1
    return copied
