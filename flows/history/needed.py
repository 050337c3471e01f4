"""Objects of the DVC cache: which ones a state of the project needs, and where they lie."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from flows.history import objects
from flows.history.git import git, paths

SECTION = re.compile(r" *(cmd|deps|params|outs):")
HASH = re.compile(r" *(?:- )?md5: '?([0-9a-f]{32}(?:\.dir)?)'?$")
PATH = re.compile(r" *(?:- )?path: ['\"]?(.+?)['\"]?$")
FILES = ("*.dvc", "dvc.lock", "*/dvc.lock")


def cache(root: Path) -> Path:
    """The folder of the project's DVC cache."""
    from dvc.config import Config

    return Path(Config(str(root / ".dvc")).get("cache", {}).get("dir") or root / ".dvc" / "cache").resolve()


def place(cache: Path, name: str) -> Path:
    """Where an object lies, if it is there."""
    return cache / "files" / "md5" / name[:2] / name[2:]


def outputs(text: str) -> Iterator[str]:
    """The hashes of all outputs in a dvc.lock or .dvc file, line by line: a YAML reader takes a tenth of a second for each."""
    return _told(text, HASH)


def output_paths(text: str) -> Iterator[str]:
    """Where they lie, in the same way."""
    return _told(text, PATH)


def of_commits(root: Path, commits: Iterable[str]) -> set[str]:
    """What these commits name as outputs: files, and folders without the files in them."""
    blobs: set[str] = set()
    for commit in commits:
        for line in paths(git(root, "ls-tree", "-r", "-z", "--full-tree", commit)):
            about, _, path = line.partition("\t")
            if path.endswith(".dvc") or path.rpartition("/")[2] == "dvc.lock":
                blobs.add(about.split()[2])
    found: set[str] = set()
    for blob in sorted(blobs):
        found.update(outputs(git(root, "cat-file", "blob", blob)))
    return found


def of_work_tree(root: Path) -> set[str]:
    """The same of the files as they are on disk, whether or not git knows them."""
    listing = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *FILES)
    files = (root / path for path in paths(listing))
    return {name for file in files if file.is_file() for name in outputs(file.read_text(encoding="utf-8"))}


def whole(cache: Path, names: Iterable[str]) -> tuple[set[str], set[str]]:
    """These objects with the files of those that are folders; and the ones among them that the cache does not have.

    A damaged list of a folder's files counts as one that it does not have.
    """
    needed = set(names)
    damaged = set()
    for name in [name for name in needed if name.endswith(".dir")]:
        listing = place(cache, name)
        if listing.is_file():
            files = objects.checked(listing.read_bytes(), name)
            needed.update((files or {}).values())
            damaged |= {name} if files is None else set()
    return needed, damaged | {name for name in needed if not place(cache, name).is_file()}


def _told(text: str, wanted: re.Pattern[str]) -> Iterator[str]:
    section = ""
    for line in text.splitlines():
        if found := SECTION.match(line):
            section = found[1]
        elif section == "outs" and (found := wanted.match(line)):
            yield found[1]
