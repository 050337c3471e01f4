"""`stemma gc`: objects of the DVC cache that no branch, tag, run commit or registered version needs."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from flows import documents, graph, workspace
from flows.history import checkouts, needed
from flows.history.git import commit_of, git
from model.errors import UserError
from tasks.registry.records import versions as registered

LINEAGE = ("stemma.data_version", "stemma.hash.", "stemma.lock")  # tags of a version that name what it was made of
HASH = re.compile(r"\b[0-9a-f]{32}\b(?:\.dir)?")
OBJECT = re.compile(r"[0-9a-f]{32}(\.dir)?")


@dataclass(frozen=True)
class Waste:
    """What nothing needs: objects, and the run-cache's records of outputs that go with them."""

    objects: tuple[Path, ...]
    records: tuple[Path, ...]
    size: int  # bytes
    kept: int  # bytes of the objects that something needs

    def __str__(self) -> str:
        """For people."""
        if not self.objects:
            return f"nothing to free: all {self.kept / 1e6:,.1f} MB of the DVC cache are needed"
        held = f"{self.kept / 1e6:,.1f} MB are needed and stay"
        return f"{len(self.objects)} objects, {self.size / 1e6:,.1f} MB, and {len(self.records)} run-cache records; {held}"


def waste(root: Path) -> Waste:
    """What could be freed now. What the tips of branches and tags name is needed, what only their history names is not.

    Raises:
        UserError: the cache may be other projects' too, or MLflow cannot be asked which versions there are.
    """
    cache = needed.cache(root)
    if root.resolve() not in cache.parents:
        raise UserError(f"gc: the DVC cache {cache} is not this project's alone; `dvc gc --projects` knows how to spare the others")
    names, missing = needed.whole(cache, _needed(root))
    if damaged := [file for name in sorted(missing) if (file := needed.place(cache, name)).is_file()]:
        remedy = "`stemma doctor` mends what a registered version needs, `stemma pull` the rest; delete the file where neither has it"
        raise UserError(f"gc: {damaged[0]}: damaged, and the files that it lists would be freed; {remedy}")
    objects = {
        file: file.stat().st_size for file in (cache / "files" / "md5").glob("??/*") if OBJECT.fullmatch(file.parent.name + file.name)
    }
    freed = {file: size for file, size in objects.items() if file.parent.name + file.name not in names}
    lost = {file.parent.name + file.name for file in freed}
    records = [file for file in (cache / "runs").glob("??/*/*") if lost & set(_outputs(file))]
    return Waste(tuple(sorted(freed)), tuple(sorted(records)), sum(freed.values()), sum(objects.values()) - sum(freed.values()))


def free(root: Path, say: workspace.Say | None = None) -> Waste:
    """Free what could be freed, while nobody runs anything; what that was.

    Raises:
        UserError: something runs in a checkout, and its outputs are in no commit yet; or MLflow cannot be asked.
    """
    with _alone(root, say):
        found = waste(root)
        for file in (*found.records, *found.objects):  # a record without its outputs would hide another that has them
            file.unlink(missing_ok=True)
        return found


def _needed(root: Path) -> set[str]:
    """Hashes that refs, checked out commits, work trees and registered versions name."""
    tips = git(root, "for-each-ref", "--format=%(objectname)").splitlines()
    worktrees = git(root, "worktree", "list", "--porcelain").splitlines()
    commits = {commit for tip in tips if (commit := commit_of(root, tip))}
    commits |= {
        line.removeprefix("HEAD ") for line in worktrees if line.startswith("HEAD ") and commit_of(root, line.removeprefix("HEAD "))
    }
    places = (Path(line.removeprefix("worktree ")) for line in worktrees if line.startswith("worktree "))
    names = {name for place in places if place.exists() for name in needed.of_work_tree(place)}
    for version in registered(root):
        names.update(name for tag, value in version.tags.items() if tag.startswith(LINEAGE) for name in HASH.findall(value))
        if commit := commit_of(root, version.tags.get("stemma.run_commit", "none")):
            commits.add(commit)
    return names | needed.of_commits(root, commits)


def _outputs(record: Path) -> Iterator[str]:
    """None of a record that is half written."""
    with suppress(UserError):
        outs = documents.mapping(record.name, record.read_text(encoding="utf-8", errors="replace"), "outs", "")["outs"] or ()
        yield from (str(out["md5"]) for out in outs if isinstance(out, dict) and "md5" in out)


@contextmanager
def _alone(root: Path, say: workspace.Say | None) -> Iterator[None]:
    with workspace.lifecycle_lock(root, say, "gc"), checkouts.none_begins(root), graph.changing(root, say):
        if checkouts.in_use(root):
            raise UserError("gc: a run is at work in a checkout, and what it has made is in no commit yet; try again when it has ended")
        yield
