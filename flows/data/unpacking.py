"""An archive in; its files, those of archives inside it too, out; never more than the limits allow, and never outside a folder."""

import bz2
import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from flows import room
from model.errors import UserError
from tasks.readers import Refused

CHUNK = 1 << 20
TRUSTED = 100_000_000  # bytes that an archive of any size may hold; the ratio counts beyond it
MAGIC = {b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"\x1f\x8b": "gz", b"\x28\xb5\x2f\xfd": "zst", b"BZh": "bz2", b"\xfd7zXZ\0": "xz"}
DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
)


@dataclass(frozen=True)
class Limits:
    """How much may come out of one archive."""

    max_unpacked_bytes: int
    max_unpacked_ratio: float  # of what comes out to what went in
    max_files: int
    max_nesting: int  # archives inside each other


def kind_of(file: Path) -> str | None:
    """`zip`, `tar`, `gz`, `zst`, `bz2`, `xz`, by the first bytes, or None."""
    with file.open("rb") as stream:
        head = stream.read(512)
    return next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), "tar" if _is_tar(head) else None)


def unpack(file: Path, name: str, into: Path, limits: Limits) -> tuple[list[Path], list[Refused]]:
    """The files of an archive called `name`, below `into`, in the order of their paths; and what was left out of it.

    Raises:
        UserError: it is damaged, a path leads out of it, or more comes out than the limits allow.
    """
    unpacking = _Unpacking(file, name, into, limits)
    unpacking.take(file, name, into, 1)
    return sorted(unpacking.files, key=lambda path: path.relative_to(into).as_posix()), unpacking.left_out


class _Unpacking:
    def __init__(self, file: Path, name: str, into: Path, limits: Limits) -> None:
        self.name = name
        self.limits = limits
        self.files: list[Path] = []
        self.left_out: list[Refused] = []
        self._allowed = min(limits.max_unpacked_bytes, max(TRUSTED, int(limits.max_unpacked_ratio * file.stat().st_size)))
        self._size = self._count = 0

    def take(self, file: Path, name: str, into: Path, depth: int) -> None:
        """Unpack one archive; those inside it are replaced by a folder of their name and `!`."""
        try:
            for member, stream in _members(file, name):
                if stream is None:
                    self.left_out.append(Refused(f"{name}: {member}", "a link or a device, not a file", counts=False))
                    continue
                path = self._write(into, member, stream)
                if kind_of(path) is None:
                    self.files.append(path)
                elif depth < self.limits.max_nesting:
                    self.take(path, path.name, path.with_name(f"{path.name}!"), depth + 1)
                    path.unlink()
                else:
                    self.left_out.append(Refused(f"{name}: {member}", f"an archive inside {depth} others", counts=False))
        except DAMAGED as error:
            if room.is_full(error):
                raise
            raise UserError(f"{name}: damaged archive ({_said(error)}); get it again, or unpack it yourself") from None

    def _write(self, into: Path, name: str, stream: IO[bytes]) -> Path:
        path = into / _inside(self.name, name)
        self._count += 1
        if self._count > self.limits.max_files:
            raise UserError(f"{self.name}: more than {self.limits.max_files:,} files; raise ingest.max_files if you trust it")
        while path.exists():  # the same name twice
            path = path.with_name(f"~{path.name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            while chunk := stream.read(CHUNK):
                self._size += len(chunk)
                if self._size > self._allowed:
                    raise UserError(
                        f"{self.name}: more than {self._allowed:,} bytes come out of it; raise ingest.max_unpacked_bytes and "
                        "ingest.max_unpacked_ratio in params.yaml if you trust it"
                    )
                out.write(chunk)
        return path


def _inside(archive: str, name: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[:1] or not path.parts:
        raise UserError(f"{archive}: {name}: a path that leads out of the archive; do not use it")
    return path


def _members(file: Path, name: str) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Each member with its content, or with None if it is neither file nor folder."""
    kind = kind_of(file)
    if kind == "zip":
        with zipfile.ZipFile(file) as opened:
            for member in opened.infolist():
                if not member.is_dir():
                    with opened.open(member) as stream:
                        yield member.filename, stream
        return
    with _decompressed(file, kind) as stream:
        packed = kind == "tar" or _is_tar(stream.read(512))
    with _decompressed(file, kind) as stream:
        if not packed:
            yield Path(name).stem if Path(name).suffix in (".gz", ".zst", ".bz2", ".xz") else f"{name}.content", stream
            return
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for entry in tar:
                if not entry.isdir():
                    yield entry.name, tar.extractfile(entry) if entry.isfile() else None


@contextmanager
def _decompressed(file: Path, kind: str | None) -> Iterator[Any]:
    import pyarrow as pa

    with file.open("rb") as raw:
        openers: dict[str | None, Any] = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}
        if kind == "zst":
            with pa.CompressedInputStream(raw, "zstd") as stream:
                yield stream
        elif kind in openers:
            with openers[kind](raw) as stream:
                yield stream
        else:
            yield raw


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def _said(error: Exception) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0]
