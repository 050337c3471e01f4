"""`stemma rollback`: data, outputs, files and aliases as they were, by one git commit that can itself be gone back on."""

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows import atomic, documents, graph, workspace
from flows.content import can_go, content_hash
from flows.data import forgetting
from flows.data.ingest import ORIGIN
from flows.history import commits, objects, placement, references, run_commits, states
from flows.history.git import blobs, commit_of, git
from flows.history.objects import Objects
from flows.history.states import AliasMove, Change, Files, Part
from flows.repair import quick
from flows.services import recorded
from model.errors import UserError
from tasks.registry import aliases

EVERYTHING: frozenset[Part] = frozenset({"data", "run", "models"})
WORK = ".stemma/rollback"
JOURNAL = ".stemma/rollback.json"  # there while files and aliases are changed: whoever finds it carries on
SYMLINK, EXECUTABLE = "120000", "100755"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Rollback:
    """What a rollback did. `commit` is on the user's branch, `kept` holds what was unsaved; None where there was nothing to hold."""

    change: Change
    commit: str | None = None
    branch: str | None = None  # None: HEAD is detached
    kept: str | None = None

    def summary(self) -> str:
        """For people, a line or several."""
        if self.change.nothing:
            return f"nothing to do: everything is as in {self.change.title}"
        lines = [f"went back to {self.change.title}"]
        if self.commit:
            lines.append(
                f"  commit {self.commit[:10]} on {self.branch or 'no branch: HEAD is detached, `git switch -c NAME` gives it one'}"
            )
        elif self.change.changed:
            lines.append("  nothing to commit: HEAD has these files, or a merge is under way")
        if self.kept:
            lines.append(f"  what was unsaved is kept: `stemma rollback {self.kept[:10]}` brings it back")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return self.change.to_json() | {"rollback_commit": self.commit, "branch": self.branch, "kept": self.kept}


def rollback(root: Path, ref: str, parts: frozenset[Part], agrees: Callable[[Change], bool], say: Say) -> Rollback | None:
    """Bring parts of a state back, unless it is as it is or nobody `agrees` to what that changes; None in the latter case.

    Nothing is changed before all that is needed is known to be there and whole. Killed in between, the next rollback or run carries on.

    Raises:
        UserError: there is no such state, something that it needs is missing, or something would be lost.
    """
    workspace.check(root)
    references.resolve(root, ref)  # what names nothing is told before anybody waits
    with workspace.lifecycle_lock(root, say, "rollback"):
        for ailment in quick.look(root):
            say(str(ailment))
        carry_on(root, say)
        change = states.change_to(root, references.resolve(root, ref), parts)
        _check(root, change)
        if change.forgotten:
            _check_forgotten(root, change, f"`stemma rollback {ref} --data-only`", parts)
        if change.nothing:
            return Rollback(change)
        if not agrees(change):
            return None
        kept = _keep(root, change.title) if change.files else None
        made = _carry_out(root, change, commit_of(root, "HEAD"), say)
        return Rollback(change, made, git(root, "branch", "--show-current") or None, kept)


def complete(root: Path, say: Say) -> None:
    """Complete a rollback that was killed, if one was; for whoever changes what it writes, before they do."""
    if (root / JOURNAL).is_file():
        with workspace.lifecycle_lock(root, say, "rollback"):
            carry_on(root, say)


def carry_on(root: Path, say: Say) -> None:
    """Complete a rollback that was killed. The lifecycle lock must be held.

    Raises:
        UserError: objects that it needs have been lost since, or something has come in its way.
    """
    journal = root / JOURNAL
    if not journal.is_file():
        shutil.rmtree(root / WORK, ignore_errors=True)
        return
    written = documents.remembered(journal)
    change = Change(**written["change"] | {"moves": [AliasMove(**move) for move in written["change"]["moves"]], "rebuilds": []})
    if not _stands(root, written["head"], change):
        say(f"a rollback to {change.title} was killed, and there are other commits since: it is given up")
        journal.unlink()
        return
    say(f"going on with the rollback to {change.title}, which was killed")
    _require_room(root, change)
    _carry_out(root, change, written["head"], say)


def _check(root: Path, change: Change) -> None:
    """Raise UserError where an object is missing, data in no version would be lost, or what is unsaved could not be kept."""
    run_commits.require_place(root)
    with graph.opened(root) as repo:
        store = Objects(repo)
        placement.require(store, change.outs)
        _require_room(root, change)
        _require_kept(root, change)
        present = content_hash(root / "data")
        if "data" in change.outs and present != change.outs["data"] and not can_go(root / "data", lambda md5: str(store.local(md5))):
            raise UserError("data: its files are not in the DVC cache and would be lost; `dvc add data` keeps them, or delete data/")


def _require_room(root: Path, change: Change) -> None:
    """Raise UserError where what git does not know lies at the place of a file or a folder that is to come."""
    going = {root / path for path, entry in change.files.items() if not entry}
    known = going | {folder for file in going for folder in file.parents}
    in_the_way = []
    for file in (root / path for path in change.changed if change.files[path]):
        if file.is_dir() and not file.is_symlink():
            in_the_way += [below for below in (file, *file.rglob("*")) if below not in known]
        above = [folder for folder in file.parents if root in folder.parents and folder not in going]
        in_the_way += [folder for folder in above if folder.is_symlink() or folder.is_file()]
    if in_the_way:
        named = placement.some([str(path.relative_to(root)) for path in dict.fromkeys(in_the_way)])
        raise UserError(f"{named}: not in git, and in the way of files that are to come back; move that away, and try again")


def _require_kept(root: Path, change: Change) -> None:
    """Raise UserError where a file is to become another one, or to go, that a run commit does not take."""
    if not change.changed:
        return
    kept = states.listed(root, run_commits.with_results(root, run_commits.snapshot(root)))
    lost = [path for path in change.changed if path not in kept and (root / path).is_file()]
    if lost:
        why = "would be lost: git does not know of it and ignores it, or it is hidden or large"
        raise UserError(f"{placement.some(lost)}: {why}; `git add --force` lets it be kept, or move it away")


def _check_forgotten(root: Path, change: Change, alone: str, parts: frozenset[Part]) -> None:
    """Raise UserError unless the data goes back alone, and says what it was made from, so that it can be made without these rows."""
    told = f"{change.title}: its data holds {change.forgotten} rows that are to be forgotten"
    if "run" in parts:
        raise UserError(f"{told}; {alone} brings the data back without them, as a new data version")
    with objects.opened(root) as store:
        if ORIGIN not in (store.listing(change.outs["data"]) or {}):
            raise UserError(f"{told}, and does not say what it was made from; take them out of a copy of it, then `dvc add data`")


def _keep(root: Path, title: str) -> str | None:
    """What is on disk, as a run commit, unless a commit has it already."""
    tree = run_commits.with_results(root, run_commits.snapshot(root))
    known = run_commits.trees(root) | ({git(root, "rev-parse", "HEAD^{tree}")} if commit_of(root, "HEAD") else set())
    return None if tree in known else run_commits.seal(root, tree, f"kept before going back to {title}")


def _stands(root: Path, head: str | None, change: Change) -> bool:
    """Whether HEAD is where a rollback found it, or where it left it."""
    now = commit_of(root, "HEAD")
    return now == head or (commit_of(root, "HEAD^") == head and git(root, "log", "-1", "--format=%B").strip() == _message(change))


def _carry_out(root: Path, change: Change, head: str | None, say: Say) -> str | None:
    """The commit, or None where it had nothing to hold."""
    with ThreadPoolExecutor(1) as beside, graph.changing(root) as repo:
        registry = beside.submit(aliases.registry, root, recorded.mlflow_url(root)) if change.moves else None  # while files are copied
        placement.stage(Objects(repo), root, change.outs, root / WORK)
        client = registry and registry.result()
        atomic.write(root, root / JOURNAL, json.dumps({"change": change.to_json(), "head": head}))
        moved = beside.submit(_move, root, change, client)
        placement.place(root, change.outs, change.gone, root / WORK)
        _write(root, change.files)
        moved.result()
    if change.forgotten:
        forgetting.reapply(root, say)
    made = commits.commit(root, list(change.files), _message(change)) if change.files else None
    (root / JOURNAL).unlink()
    return made


def _move(root: Path, change: Change, client: Any) -> None:
    for move in change.moves:
        aliases.move(root, move.name, move.alias, move.after, f"rollback to {change.title}", client)


def _write(root: Path, files: Files) -> None:
    """Let files be as git has them, those that are not; what goes goes first, since a file may come where a folder was."""
    wanted = {path: entry for path, entry in files.items() if entry}
    contents = dict(zip(wanted, blobs(root, (blob for _, blob in wanted.values())), strict=True))
    for file in (root / path for path in files if contents.get(path) is None):
        if file.is_file() or file.is_symlink():
            file.unlink()
        _remove_empty(root, file.parent)
    for path, content in contents.items():
        file = root / path
        if content is not None and not (file.is_file() and file.read_bytes() == content):
            _replace(root, file, content, wanted[path][0])


def _replace(root: Path, file: Path, content: bytes, mode: str) -> None:
    partial = root / f"{WORK}.partial"
    partial.unlink(missing_ok=True)
    if mode == SYMLINK:
        partial.symlink_to(os.fsdecode(content))
    else:
        with partial.open("wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        partial.chmod(0o755 if mode == EXECUTABLE else 0o644)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial.replace(file)


def _remove_empty(root: Path, folder: Path) -> None:
    with suppress(OSError):  # not empty
        while folder != root:
            if folder.is_dir():
                folder.rmdir()
            folder = folder.parent


def _message(change: Change) -> str:
    moves = [f"{move.name}: {move.alias} {move.before or 'none'} -> {move.after or 'none'}" for move in change.moves]
    return "\n".join([f"Go back to {change.title}", "", f"As in commit {change.commit}.", *moves])
