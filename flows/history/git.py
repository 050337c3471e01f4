"""git as Stemma calls it: plumbing, in the project's folder."""

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from flows import room
from model.errors import UserError

SETTINGS = ("-c", "log.showSignature=false")  # what a person has shown besides would be taken for the answer


def git(root: Path, *arguments: str, stdin: str | bytes = b"", variables: Mapping[str, str] | None = None) -> str:
    """What a git command prints, without the last newline.

    Raises:
        UserError: git refuses, or is not installed.
    """
    given = stdin.encode() if isinstance(stdin, str) else stdin
    environment = os.environ | (variables or {})
    try:
        ran = subprocess.run(["git", *SETTINGS, *arguments], cwd=root, env=environment, input=given, capture_output=True, check=False)
    except FileNotFoundError:
        raise UserError("git: not installed; Stemma keeps every run as a git commit, so install it") from None
    if ran.returncode:
        said = " ".join(ran.stderr.decode(errors="replace").split()) or f"exit code {ran.returncode}"
        remedy = "make room on the disk of" if room.lacks(root) else "mend that in"
        raise UserError(f"git {_subcommand(arguments)}: {said}; {remedy} {root}")
    return ran.stdout.decode(errors="surrogateescape").removesuffix("\n")


def paths(listing: str) -> list[str]:
    """The paths of a listing made with `-z`."""
    return [path for path in listing.split("\0") if path]


def prefix(root: Path) -> str:
    """Where the project lies in its repository: empty at the top, else a path with a slash at its end."""
    return git(root, "rev-parse", "--show-prefix")


def commit_of(root: Path, revision: str) -> str | None:
    """The commit that a revision names, or None."""
    command = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else None


def texts(root: Path, names: Iterable[str]) -> list[str | None]:
    """The texts called `<commit>:./<path>`, by one git process; None for what is not there."""
    return [content if content is None else content.decode() for content in blobs(root, names)]


def blobs(root: Path, names: Iterable[str]) -> list[bytes | None]:
    """The same as bytes, of blobs by any of their names."""
    asked = "".join(f"{name}\n" for name in names)
    command = ["git", "cat-file", "--batch"]
    answer = subprocess.run(command, cwd=root, input=asked.encode(), capture_output=True, check=True).stdout
    found: list[bytes | None] = []
    while answer:
        header, _, rest = answer.partition(b"\n")
        if header.endswith(b" missing"):
            found.append(None)
            answer = rest
            continue
        size = int(header.split()[2])
        found.append(rest[:size])
        answer = rest[size + 1 :]
    return found


def _subcommand(arguments: Sequence[str]) -> str:
    """The command's name, which settings may stand before."""
    return arguments[2] if arguments[0] == "-c" else arguments[0]
