"""Named files of the work tree in; one git commit of them on the user's branch out. The user's index keeps everything else."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from flows.history.git import commit_of, git

NOBODY = {"GIT_AUTHOR_NAME": "Stemma", "GIT_AUTHOR_EMAIL": "stemma@localhost"}
NOBODY |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in NOBODY.items()}


def commit(root: Path, files: Sequence[str], message: str) -> str | None:
    """Commit `files` (paths below `root`) as they are on disk, and nothing else; None if HEAD has them so, or a merge is under way.

    An identity that git lacks is filled in. No hook runs.
    """
    if commit_of(root, "MERGE_HEAD"):
        return None
    head = commit_of(root, "HEAD")
    with tempfile.TemporaryDirectory() as folder:
        own = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git(root, "read-tree", head or "--empty", variables=own)
        git(root, "update-index", "--add", "--remove", "--replace", "--", *files, variables=own)
        tree = git(root, "write-tree", variables=own)
    if head and tree == git(root, "rev-parse", f"{head}^{{tree}}"):
        git(root, "update-index", "--add", "--remove", "--replace", "--", *files)  # one that was killed may have come no further
        return None
    identity = _identity(root)
    made = git(root, "commit-tree", tree, *(["-p", head] if head else []), stdin=message, variables=identity)
    git(root, "update-ref", "-m", f"stemma: {message.splitlines()[0]}", "HEAD", made, head or "0" * 40, variables=identity)
    git(root, "update-index", "--add", "--remove", "--replace", "--", *files)  # the user's index: these files are no change any more
    return made


def _identity(root: Path) -> dict[str, str]:
    asked = (["git", "var", f"GIT_{who}_IDENT"] for who in ("AUTHOR", "COMMITTER"))
    known = all(subprocess.run(command, cwd=root, capture_output=True, check=False).returncode == 0 for command in asked)
    return {} if known else {name: os.environ.get(name) or value for name, value in NOBODY.items()}
