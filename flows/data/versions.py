"""Versions of `data/`: their hashes, into DVC's cache, out of it, and which one is in use."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flows import atomic, content, documents
from flows.history import objects
from model.errors import UserError


@dataclass(frozen=True)
class DataVersion:
    """What data.dvc says about `data/`."""

    hash: str  # DVC's: md5 of the list of files and their md5s, `.dir` at the end
    size: int  # bytes
    num_files: int


def parse(text: str) -> DataVersion:
    """The version that the text of a data.dvc names.

    Raises:
        UserError: it names none.
    """
    remedy = "`git checkout data.dvc` brings back the committed one"
    match outs := documents.mapping("data.dvc", text, "outs", remedy)["outs"]:
        case [{"md5": str()}]:
            return DataVersion(outs[0]["md5"], int(outs[0].get("size", 0)), int(outs[0].get("nfiles", 0)))
    raise UserError(f"data.dvc: names no data version; {remedy}")


def in_use(root: Path) -> DataVersion | None:
    """The version data.dvc names, or None before the first ingest."""
    file = root / "data.dvc"
    return parse(file.read_text(encoding="utf-8")) if file.exists() else None


def of_folder(folder: Path) -> DataVersion:
    """The version that the files of `folder` are, hashed anew as DVC hashes a folder."""
    entries, size = [], 0
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "md5").hexdigest()
        entries.append({"md5": digest, "relpath": file.relative_to(folder).as_posix()})
        size += file.stat().st_size
    listing = json.dumps(sorted(entries, key=lambda entry: entry["relpath"]), sort_keys=True)
    return DataVersion(f"{hashlib.md5(listing.encode()).hexdigest()}.dir", size, len(entries))


def adopt(root: Path, folder: Path, before: Callable[[DataVersion], None] = lambda version: None) -> DataVersion:
    """Make `folder` the data version in use: into the cache first, then as `data/`, at last data.dvc. The workspace lock must be held.

    data.dvc, replaced in one step, is what decides: killed before it, the old version is in use and can be checked out again.
    `before` is told the version just before `data/` changes.
    """
    version, used = of_folder(folder), in_use(root)
    _into_cache(root, folder, version)
    if used and of_folder(root / "data") == used:
        _into_cache(root, root / "data", used)  # the cache may have lost of it what goes now
    before(version)
    _swap(root, folder)
    lines = ["outs:", f"- md5: {version.hash}", f"  size: {version.size}", f"  nfiles: {version.num_files}", "  hash: md5", "  path: data"]
    atomic.write(root, root / "data.dvc", "\n".join(lines) + "\n")
    return version


def checkout(root: Path, version: DataVersion, folder: Path) -> bool:
    """Put the files of `version` into `data/` by way of `folder`; False if the cache lacks one or holds a damaged one.

    The workspace lock must be held. DVC hands out a damaged object without a word, so each file is hashed anew.
    """
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        cache = repo.cache.local
        listing = Path(cache.oid_to_path(version.hash))
        if not listing.exists():
            return False
        files = objects.checked(listing.read_bytes(), version.hash)
        if files is None:
            listing.unlink()
            return False
        for name, md5 in files.items():
            held, place = Path(cache.oid_to_path(md5)), folder / name
            if not held.exists():
                return False
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(held, place)
            if hashlib.md5(place.read_bytes()).hexdigest() != md5:
                held.unlink()
                return False
    _swap(root, folder)
    return True


def can_go(root: Path, there: DataVersion) -> bool:
    """Whether DVC's cache has every byte of `data/`, where `there` lies; what it lacks of a version that it knows is put into it first.

    The workspace lock must be held.
    """
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        cached = repo.cache.local.oid_to_path
        if there.num_files and Path(cached(there.hash)).exists():
            _into_cache(root, root / "data", there)
        return content.can_go(root / "data", cached)


def _into_cache(root: Path, folder: Path, version: DataVersion) -> None:
    from dvc.repo import Repo
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.transfer import transfer
    from dvc_objects.fs.local import localfs

    with Repo(str(root)) as repo:
        cache = repo.cache.local
        staging, _, tree = build(cache, str(folder), localfs, "md5")
        if tree.hash_info.value != version.hash:
            raise UserError(f"{folder}: changed while it was hashed; run `stemma ingest` again")
        transfer(staging, cache, {tree.hash_info}, shallow=False, hardlink=False)


def _swap(root: Path, folder: Path) -> None:
    """`folder` becomes `data/`, two renames; what was there goes."""
    data, old = root / "data", folder.with_name("old-data")
    if data.exists():
        data.replace(old)
    folder.replace(data)
    if old.exists():
        shutil.rmtree(old)
