"""The objects of DVC's cache, and of a remote where the cache lacks them: read where they are, nothing is fetched or checked out."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc_data.hashfile.db import HashFileDB

Listing = dict[str, str]  # the files of a folder: md5 by path


class Objects:
    """Objects by their md5, which may end in `.dir`; of `opened`."""

    def __init__(self, repo: "Repo") -> None:
        self._places: list[HashFileDB] = [repo.cache.local, *_remote(repo)]

    def local(self, md5: str) -> Path:
        """Where the cache keeps an object, whether it is there or not."""
        return Path(self._places[0].oid_to_path(md5))

    def open(self, md5: str) -> BinaryIO | None:
        """The bytes of an object, to be closed by whoever asks; None if neither has it."""
        for place in self._places:
            try:
                return cast(BinaryIO, place.fs.open(place.oid_to_path(md5), "rb"))
            except FileNotFoundError:
                continue
        return None

    def listing(self, md5: str) -> Listing | None:
        """The files of a folder, by its `.dir` hash; None if neither place has the list."""
        opened = self.open(md5)
        if opened is None:
            return None
        with opened:
            entries: list[dict[str, Any]] = json.load(opened)
        return {entry["relpath"]: entry["md5"] for entry in entries}


@contextmanager
def opened(root: Path) -> Iterator[Objects]:
    """The objects of a project. They never change, so no lock is needed to look at them."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        yield Objects(repo)


def _remote(repo: "Repo") -> "Iterator[HashFileDB]":
    """The default remote, if there is one that keeps objects by their hashes."""
    from dvc.config import NoRemoteError, RemoteConfigError

    try:
        yield repo.cloud.get_remote_odb()
    except (NoRemoteError, RemoteConfigError):
        return
