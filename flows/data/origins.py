"""What a person points at (files, folders, globs, addresses, data sets, repositories) in; its bytes, kept under their sha256, out.

One file is kept as it is. Several become one tar archive that is always the same for the same files.
"""

import glob
import hashlib
import os
import shlex
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from os.path import commonpath
from pathlib import Path

from flows import room
from flows.data import remote
from model.errors import UserError
from tasks.intake.sources import Source

KEPT = ".stemma/downloads"
LONGEST = 200  # bytes of a name; that of a file may have 255, and more is put behind this one


@dataclass(frozen=True)
class Kept:
    """Bytes in `.stemma/downloads`, under the name of their sha256."""

    file: Path
    sha256: str
    uri: str  # where they were, as sources.yaml has it

    @property
    def name(self) -> str:
        """Of the file that they are, without folders."""
        return shortened(remote.file_name(self.uri) if remote.is_elsewhere(self.uri) else Path(shlex.split(self.uri)[0]).name)


def keep(root: Path, work: Path, given: Sequence[str], max_bytes: int) -> Kept:
    """Copy what `given` names below `.stemma/downloads`, by way of `work`; paths are relative to the current folder.

    Raises:
        UserError: there is no such thing, it cannot be had, or it is larger than `max_bytes`.
    """
    downloads = root / KEPT
    downloads.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        partial = Path(folder) / "partial"
        if len(given) == 1 and remote.is_elsewhere(given[0]):
            remote.fetch(given[0], partial, max_bytes)
            uri = remote.without_secrets(given[0])
        else:
            files = [file for one in given for file in _files(one)]
            _gather(files, partial)
            uri = shlex.join(_recorded(root, str(files[0]) if len(files) == 1 else one) for one in (given if len(files) > 1 else given[:1]))
        sha256 = _sha256(partial)
        partial.replace(downloads / sha256)
    return Kept(downloads / sha256, sha256, uri)


def kept(root: Path, work: Path, name: str, source: Source, max_bytes: int) -> Kept:
    """The bytes of a source that were kept here, or, where they are lost or damaged, that are still where they were.

    Raises:
        UserError: they are not, or other bytes are there now.
    """
    sha256, uri = str(source.sha256), str(source.uri)
    found = Kept(root / KEPT / sha256, sha256, uri)
    if not (found.file.exists() and _sha256(found.file) == sha256):
        found.file.unlink(missing_ok=True)
        try:
            found = keep(root, work, _places(root, uri), max_bytes)
        except UserError as error:
            raise UserError(f"sources.yaml: {name}: its bytes are not kept on this machine, and {error}") from None
    if found.sha256 != sha256:
        raise UserError(
            f"sources.yaml: {name}: sha256 differs, recorded {sha256}, got {found.sha256} from {uri}; put the old bytes there, "
            "or ingest the new ones"
        )
    return Kept(found.file, sha256, uri)


def shortened(name: str) -> str:
    """The end of a name that is too long for files: its suffix is there."""
    written = os.fsencode(name)
    return name if len(written) <= LONGEST else written[-LONGEST:].decode(errors="ignore")


def _places(root: Path, uri: str) -> list[str]:
    """What `keep` is to take; sources.yaml writes data sets of the Hub with their `hf:`."""
    if remote.is_address(uri) or uri.startswith("hf:"):
        return [uri]
    places = [str(root / one) for one in shlex.split(uri)]
    if gone := [one for one in places if not (glob.has_magic(one) or Path(one).exists())]:
        raise UserError(f"{gone[0]}: no such file or folder; put it there")
    return places


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _recorded(root: Path, given: str) -> str:
    """A path below the project as from its top; of one elsewhere the name only: a commit tells nothing about this machine."""
    path = Path(given).absolute()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _files(given: str) -> list[Path]:
    """The files that one argument names, in the order of their paths."""
    path = Path(given)
    if not given:
        raise UserError("stemma ingest: an empty path; name a file or a folder")
    if path.is_file():
        return [path]
    if path.is_dir():
        found = _below(path)
    elif glob.has_magic(given):
        found = sorted(file for match in glob.glob(given, recursive=True) for file in _files(match))  # noqa: PTH207
    elif path.exists():
        raise UserError(f"{given}: neither a file nor a folder; give one of these")
    else:
        raise UserError(f"{given}: no such file or folder; mend the path (a Hugging Face data set is named hf:OWNER/NAME)")
    if not found:
        raise UserError(f"{given}: no files there; give another path")
    return found


def _below(folder: Path) -> list[Path]:
    """Of a git repository the tracked files; of a data set that `datasets` saved its Arrow files; else all that are not hidden."""
    if (folder / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=folder, capture_output=True, check=False)
        if listed.returncode:
            raise UserError(f"{folder}: git cannot list its files ({listed.stderr.decode().strip()}); mend the repository")
        return [file for name in sorted(filter(None, listed.stdout.split(b"\0"))) if (file := folder / os.fsdecode(name)).is_file()]
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not _is_hidden(file.relative_to(folder)))
    if {"dataset_dict.json", "state.json"} & {file.name for file in folder.iterdir()}:
        return [file for file in files if file.suffix == ".arrow"]
    return files


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _gather(files: list[Path], partial: Path) -> None:
    try:
        if len(files) == 1:
            shutil.copyfile(files[0], partial)
        else:
            _pack(files, partial)
    except OSError as error:
        if room.is_full(error):
            raise
        raise UserError(f"{error.filename or files[0]}: cannot be read ({error.strerror or error}); mend it or leave it out") from None


def _pack(files: list[Path], partial: Path) -> None:
    """One tar archive; no times, owners or modes in it."""
    top = Path(commonpath([file.absolute().parent for file in files]))
    named = {file.absolute().relative_to(top).as_posix(): file for file in files}
    with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as packed:
        for name, file in sorted(named.items()):
            entry = tarfile.TarInfo(name)
            entry.size = file.stat().st_size
            with file.open("rb") as stream:
                packed.addfile(entry, stream)
