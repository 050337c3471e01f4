"""The data versions there were, as git remembers data.dvc; needs no DVC."""

import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flows import data_versions, workspace

SEPARATOR = "\x1f"


@dataclass(frozen=True)
class LoggedVersion:
    """A data version, and the commit that brought it in."""

    hash: str
    date: str  # of the commit, ISO 8601
    commit: str
    num_files: int
    size: int  # bytes
    message: str  # the first line of the commit's

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def data_log(root: Path) -> list[LoggedVersion]:
    """The data versions in the history of HEAD, newest first."""
    if workspace.head_commit(root) is None:
        return []
    log = _git(root, "log", "--diff-filter=AM", f"--format=%H{SEPARATOR}%cI{SEPARATOR}%s", "--", "data.dvc").splitlines()
    entries = [line.split(SEPARATOR) for line in log]
    found = []
    for (commit, date, message), text in zip(entries, _contents(root, [commit for commit, _, _ in entries]), strict=True):
        version = data_versions.parse(text)
        found.append(LoggedVersion(version.hash, date, commit, version.num_files, version.size, message))
    return found


def _contents(root: Path, commits: list[str]) -> list[str]:
    """data.dvc at each commit, by one git process."""
    asked = "".join(f"{commit}:./data.dvc\n" for commit in commits)
    answer = subprocess.run(["git", "cat-file", "--batch"], cwd=root, input=asked.encode(), capture_output=True, check=True).stdout
    texts = []
    while answer:
        header, _, rest = answer.partition(b"\n")
        size = int(header.split()[2])
        texts.append(rest[:size].decode())
        answer = rest[size + 1 :]
    return texts


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout
