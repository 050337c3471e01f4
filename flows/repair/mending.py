"""What registered versions need of the DVC cache: every object hashed, and a missing or damaged one brought back from where it still is."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from flows.content import content_hash
from flows.history import objects
from flows.history.objects import Objects
from flows.repair.ailments import Ailment
from tasks import tracking
from tasks.registry import records

DATA_AGAIN = "`stemma ingest` makes it again where sources.yaml and its files are as they were"


def objects_of_versions(root: Path) -> Iterator[Ailment]:
    """Each object once, however many versions need it."""
    try:
        known = records.versions(root)
    except tracking.TrackingError as error:
        yield Ailment("registry", str(error), todo="run `stemma doctor` again when it answers")
        return
    needed: dict[tuple[str, str], list[str]] = {}
    for version in known:
        lock = json.loads(version.tags.get("stemma.lock", "{}"))
        outs = [
            ("data", version.tags.get("stemma.data_version", "none")),
            *(out for entry in lock.values() for out in entry["outs"].items()),
        ]
        for out in outs:
            if out[1] != "none":
                needed.setdefault(out, []).append(f"{version.name}/{version.version}")
    with objects.opened(root) as found:
        for (path, md5), models in needed.items():
            yield from _whole(root, found, path, md5, models)


def _whole(root: Path, found: Objects, path: str, md5: str, models: list[str]) -> Iterator[Ailment]:
    """See that an output can be checked out again: its listing, then its files."""
    names = ", ".join(models)
    if trouble := _trouble(found, md5):
        yield _mended(root, found, md5, [root / path], f"{path} of {names}: {trouble}")
    if md5.endswith(".dir") and not _trouble(found, md5):
        listing = json.loads(found.local(md5).read_text(encoding="utf-8"))
        for entry in listing:
            if trouble := _trouble(found, entry["md5"]):
                place = root / path / entry["relpath"]
                yield _mended(root, found, entry["md5"], [place], f"{path}/{entry['relpath']} of {names}: {trouble}")


def _trouble(found: Objects, md5: str) -> str | None:
    file = found.local(md5)
    if not file.is_file():
        return "missing in the DVC cache"
    with file.open("rb") as stream:
        return None if hashlib.file_digest(stream, "md5").hexdigest() == md5.removesuffix(".dir") else "damaged in the DVC cache"


def _mended(root: Path, found: Objects, md5: str, places: list[Path], told: str) -> Ailment:
    """Bring an object back from the work tree or the remote; a damaged one goes in any case, so that nobody takes it for good."""
    file = found.local(md5)
    if file.exists():
        file.chmod(0o644)
        file.unlink()
    partial = root / ".stemma" / f"object-{os.getpid()}.partial"
    for source in places:
        if content_hash(source) == md5:
            if source.is_dir():
                partial.write_text(_listing(source), encoding="utf-8")
            else:
                shutil.copyfile(source, partial)
            return _adopted(partial, file, md5, told, "brought back from the work tree")
    if stream := found.open(md5):
        with stream, partial.open("wb") as copy:
            shutil.copyfileobj(stream, copy)
        return _adopted(partial, file, md5, told, "brought back from the DVC remote")
    otherwise = DATA_AGAIN if places[0].is_relative_to(root / "data") else "`stemma verify` rebuilds the version and says if it is the same"
    return Ailment(md5, told, todo=f"`stemma pull` fetches it where a remote has it, {otherwise}")


def _listing(folder: Path) -> str:
    """As DVC writes it, and `content_hash` hashes it."""
    files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    return json.dumps([{"md5": content_hash(folder / name), "relpath": name} for name in files], sort_keys=True)


def _adopted(partial: Path, file: Path, md5: str, told: str, how: str) -> Ailment:
    with partial.open("rb") as stream:
        if hashlib.file_digest(stream, "md5").hexdigest() != md5.removesuffix(".dir"):
            partial.unlink()
            return Ailment(md5, told, todo=f"what would be {how} is damaged too; `stemma verify` rebuilds the version")
    file.parent.mkdir(parents=True, exist_ok=True)
    partial.chmod(0o444)
    partial.replace(file)
    return Ailment(md5, told, how)
