"""What really lies in a file, a folder or the DVC cache: DVC trusts a cache object by its file mode alone."""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dvc.output import Output


def content_hash(path: Path) -> str | None:
    """DVC's hash of a file or directory, from its bytes and not from DVC's state database; None if there is nothing."""
    if path.is_file():
        return _md5(path)
    if not path.is_dir():
        return None
    files = sorted((file.relative_to(path).as_posix(), file) for file in path.rglob("*") if file.is_file())
    listing = json.dumps([{"md5": _md5(file), "relpath": name} for name, file in files], sort_keys=True)
    return hashlib.md5(listing.encode()).hexdigest() + ".dir"


def can_go(path: Path, cached: Callable[[str], str]) -> bool:
    """Whether DVC's cache, which keeps an object where `cached` says, has the bytes of all that lies at a path."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return all(held.is_file() and _md5(held) == md5 for md5 in map(_md5, files) for held in [Path(cached(md5))])


def drop_damaged(out: "Output") -> None:
    """Remove the objects of an output whose bytes do not have the hash they are named after."""
    listing = Path(out.cache.oid_to_path(out.hash_info.value))
    names = [out.hash_info.value]
    if out.hash_info.isdir:
        with suppress(ValueError, KeyError, TypeError, FileNotFoundError):  # a damaged listing goes, its files stay
            names += [entry["md5"] for entry in json.loads(listing.read_text(encoding="utf-8"))]
    for name in names:
        file = Path(out.cache.oid_to_path(name))
        if file.is_file() and _md5(file) != name.removesuffix(".dir"):
            file.chmod(0o644)
            file.unlink()


def _md5(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()
