"""Run commits: what one lifecycle ran with and what it made, as a git commit on a ref of Stemma's own.

Made with plumbing on an index of its own: the user's branch, index and work tree are never touched. The refs lie below refs/remotes/,
the one place besides branches and tags where `dvc gc --all-commits` looks.
"""

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Literal

from flows.history.git import commit_of, git, paths, texts
from model.errors import UserError

REFS = "refs/remotes/stemma/"
NAMED = f"{REFS}{'[0-9]' * 8}T{'[0-9]' * 6}.*Z-*"  # the branches of a git remote called stemma would lie there too
Part = Literal["data", "run", "code", "models"]
FILES: dict[str, Part] = {"data.dvc": "data", "sources.yaml": "data", "params.yaml": "run", "dvc.lock": "run"}
CODE = ("dvc.yaml", "flows", "tasks", "model", "tests", "profiles", "stemma.py", "pyproject.toml", "requirements.lock", "prefect.yaml")
CODE_SIZE = 1 << 20  # bytes; a larger new file is data
NOBODY = {"NAME": "Stemma", "EMAIL": "stemma@localhost"}  # works where git knows no identity, and is nobody's
AUTHOR = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in NOBODY.items()}
COMPLETE = "lifecycle: "  # how the message of a lifecycle begins that ran all its stages on what its tree holds
SEPARATOR = "\x1f"


@dataclass(frozen=True)
class RunCommit:
    """One of them; `message` is its first line."""

    commit: str
    ref: str
    date: str  # UTC, ISO 8601
    message: str
    data_version: str | None

    @property
    def complete(self) -> bool:
        """Whether every stage came out, so that its lock and its inputs agree."""
        return self.message.startswith(COMPLETE)


def require_place(root: Path) -> None:
    """Raise UserError where git fetches branches to where the run commits lie: it may prune there."""
    for setting in paths(git(root, "config", "--list", "-z")):
        key, _, value = setting.partition("\n")
        if re.fullmatch(r"remote\..*\.fetch", key) and re.match(rf"\+?refs/heads/.*:{REFS}", value):
            # not `git remote rename`, which takes the run commits along
            remedy = f"`git config --replace-all {key} '+refs/heads/*:refs/remotes/OTHER/*'` gives them another"
            raise UserError(f"git: {key} has branches put at the place of the run commits, {REFS}, where git may prune; {remedy}")


def snapshot(root: Path) -> str:
    """The tree of the project as it is on disk: what git tracks, `FILES`, and new code that is not ignored, hidden, large or a repository.

    Raises:
        UserError: git refuses.
    """
    with _index(root) as variables:
        git(root, "add", "--update", ":/", variables=variables)
        new = git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", *CODE, variables=variables)
        taken = [*(path for path in FILES if (root / path).is_file()), *(path for path in paths(new) if _is_code(root, path))]
        git(root, "update-index", "--add", "-z", "--stdin", stdin=_listing(taken), variables=variables)
        return git(root, "write-tree", variables=variables)


def seal(root: Path, tree: str, message: str) -> str:
    """The run commit of `tree` with the present dvc.lock and metrics; the newest one if that has the same tree and tells as much.

    Raises:
        UserError: git refuses.
    """
    whole = with_results(root, tree)
    newest = git(root, "for-each-ref", "--sort=-refname", "--count=1", "--format=%(tree) %(objectname) %(contents:subject)", NAMED)
    there, _, found = newest.partition(" ")
    known, _, told = found.partition(" ")
    if there == whole and (told.startswith(COMPLETE) or not message.startswith(COMPLETE)):
        return known
    head = commit_of(root, "HEAD")
    commit = git(root, "commit-tree", whole, *(["-p", head] if head else []), "-F", "-", stdin=message + "\n", variables=AUTHOR)
    now = datetime.now(UTC)
    git(root, "update-ref", "-m", "stemma", f"{REFS}{now:%Y%m%dT%H%M%S.%f}Z-{commit[:10]}", commit, "")
    return commit


def edited(root: Path, tree: str) -> list[str]:
    """What has changed on disk since `tree` was taken, besides what a lifecycle itself writes."""
    changed = paths(git(root, "diff-tree", "-r", "-z", "--name-only", "--relative", tree, snapshot(root)))
    return [path for path in changed if path != "dvc.lock" and not path.startswith("metrics/")]


def with_results(root: Path, tree: str) -> str:
    """`tree` with the present dvc.lock and metrics."""
    with _index(root, tree) as variables:
        known = paths(git(root, "ls-files", "-z", "--", "dvc.lock", ":(glob)metrics/*.json", variables=variables))
        made = [name for name in ("dvc.lock", *(f"metrics/{file.name}" for file in sorted((root / "metrics").glob("*.json"))))]
        given = [path for path in dict.fromkeys([*known, *made]) if path in known or (root / path).is_file()]
        git(root, "update-index", "--add", "--remove", "-z", "--stdin", stdin=_listing(given), variables=variables)
        return git(root, "write-tree", variables=variables)


def trees(root: Path) -> set[str]:
    """The trees of all run commits."""
    return set(git(root, "for-each-ref", "--format=%(tree)", NAMED).splitlines())


def listed(root: Path) -> list[RunCommit]:
    """Every run commit, the newest first."""
    fields = SEPARATOR.join(["%(objectname)", "%(refname)", "%(committerdate:unix)", "%(contents:subject)"])
    lines = git(root, "for-each-ref", "--sort=-refname", f"--format={fields}", NAMED).splitlines()
    entries = [line.split(SEPARATOR, 3) for line in lines]
    versions = data_versions_at(root, [entry[0] for entry in entries])
    return [
        RunCommit(commit, ref, datetime.fromtimestamp(int(seconds), UTC).isoformat(), message, version)
        for (commit, ref, seconds, message), version in zip(entries, versions, strict=True)
    ]


def changes_of_data(root: Path, *revisions: str, form: str = "%H") -> list[str]:
    """Each commit in the history of `revisions` that has another data.dvc than a parent, newest first, as git's log tells `form`."""
    told = git(root, "log", "--full-history", "-m", "--diff-filter=AM", f"--format={form}", *revisions, "--", "data.dvc")
    return list(dict.fromkeys(told.splitlines()))  # a merge is told for each parent


def data_versions_at(root: Path, commits: Iterable[str]) -> list[str | None]:
    """The data version that data.dvc names at each commit."""
    found = (re.search(r"^- md5: (\S+)", text or "", re.MULTILINE) for text in texts(root, (f"{commit}:./data.dvc" for commit in commits)))
    return [match and match[1] for match in found]


def _is_code(root: Path, path: str) -> bool:
    """Whether a new file belongs to the code; a repository inside this one is listed as a folder."""
    file = root / path
    hidden = any(part.startswith(".") for part in PurePosixPath(path).parts)
    return not path.endswith("/") and not hidden and (file.is_symlink() or (file.is_file() and file.stat().st_size <= CODE_SIZE))


def _listing(files: list[str]) -> bytes:
    return "".join(f"{file}\0" for file in files).encode(errors="surrogateescape")


@contextmanager
def _index(root: Path, tree: str | None = None) -> Iterator[dict[str, str]]:
    """The variable that gives git an index of its own: a copy of the user's, which knows what has not changed, or that of `tree`."""
    with tempfile.TemporaryDirectory(prefix="stemma-") as folder:
        index = Path(folder, "index")
        variables = {"GIT_INDEX_FILE": str(index)}
        if tree:
            git(root, "read-tree", tree, variables=variables)
        else:
            theirs = root / git(root, "rev-parse", "--git-path", "index")
            if theirs.exists():
                shutil.copy2(theirs, index)  # its time too: git looks again at what is no older than the index
        yield variables
