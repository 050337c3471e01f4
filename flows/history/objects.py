"""The objects of DVC's cache, and of a remote where the cache lacks them: read where they are, nothing is fetched or checked out."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

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
        """The files of a folder, by its `.dir` hash; None if neither place has the list undamaged."""
        for place in self._places:
            with suppress(FileNotFoundError), place.fs.open(place.oid_to_path(md5), "rb") as opened:
                found = checked(opened.read(), md5)
                if found is not None:
                    return found
        return None


def checked(content: bytes, md5: str) -> Listing | None:
    """The files of a folder, from its list; None where that is damaged, so that it does not have its `.dir` hash."""
    if f"{hashlib.md5(content).hexdigest()}.dir" != md5:
        return None
    return {entry["relpath"]: entry["md5"] for entry in json.loads(content)}


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
