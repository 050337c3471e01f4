"""Outputs out of DVC's cache to where they belong: all of them copied and hashed before the first is moved.

Killed anywhere in it, the same calls again end in the same state.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from flows.content import content_hash
from flows.history import objects
from flows.history.objects import Objects
from model.errors import UserError

NEW, OLD = "new", "old"
NAMED = 3  # missing files
AGAIN = "`stemma pull` fetches them from a remote, `stemma verify` makes a registered version's again"


def require(store: Objects, outs: Mapping[str, str]) -> None:
    """See that the cache has every object of `outs` (hash by path).

    Raises:
        UserError: it has not; which are missing.
    """
    lacking = (_files(store, path, md5) for path, md5 in outs.items())
    missing = [name for files in lacking for name, held in files if held is None or not held.is_file()]
    if missing:
        raise UserError(f"{some(missing)}: not in the DVC cache; {_remedies(missing, outs)}")


def has(store: Objects, md5: str) -> bool:
    """Whether the cache has a file or a folder wholly."""
    return all(held is not None and held.is_file() for _, held in _files(store, "", md5))


def stage(store: Objects, root: Path, outs: Mapping[str, str], work: Path) -> None:
    """Copy to below `work` what does not lie at its path in `outs` already, and hash each copy.

    Raises:
        UserError: an object is missing or damaged.
    """
    require(store, outs)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    other = {path: md5 for path, md5 in outs.items() if content_hash(root / path) != md5}
    damaged = [name for path, md5 in other.items() for name in _copy(store, path, md5, work / NEW)]
    if damaged:
        shutil.rmtree(work)
        raise UserError(f"{some(damaged)}: damaged in the DVC cache; {_remedies(damaged, outs)}")


def place(root: Path, outs: Mapping[str, str], gone: Sequence[str], work: Path) -> None:
    """Move what `stage` has copied to its place, and take away what lies at the paths in `gone`."""
    for number, path in enumerate([*gone, *outs]):
        staged, target, old = work / NEW / path, root / path, work / OLD / str(number)
        if path in gone or staged.exists():
            old.parent.mkdir(exist_ok=True)
            if target.exists() or target.is_symlink():
                target.replace(old)
        if staged.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            staged.replace(target)
    shutil.rmtree(work)


def _files(store: Objects, path: str, md5: str) -> Iterator[tuple[str, Path | None]]:
    """Each file of an output, and where the cache keeps it; None where the list of files is missing or damaged."""
    held = store.local(md5)
    if not md5.endswith(".dir"):
        yield path, held
        return
    listing = objects.checked(held.read_bytes(), md5) if held.is_file() else None
    if listing is None:
        yield path, None
    for name, of_file in (listing or {}).items():
        yield f"{path}/{name}", store.local(of_file)


def _copy(store: Objects, path: str, md5: str, fresh: Path) -> Iterator[str]:
    """Copy an output to below `fresh`; the names of files that are not what they are called."""
    files = {name: held for name, held in _files(store, path, md5) if held}
    (fresh / path if md5.endswith(".dir") else (fresh / path).parent).mkdir(parents=True, exist_ok=True)
    for name, held in files.items():
        (fresh / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(held, fresh / name)
    if content_hash(fresh / path) != md5:
        yield from [name for name, held in files.items() if content_hash(fresh / name) != held.parent.name + held.name] or [path]


def some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _remedies(lost: Sequence[str], outs: Mapping[str, str]) -> str:
    """What may help against what is lost of `outs`."""
    without = "data" in outs and not any(f"{name}/".startswith("data/") for name in lost)
    return AGAIN + (", `--data-only` goes without" if without else "")
