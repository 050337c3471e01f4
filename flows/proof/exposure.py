"""Which data versions and model versions have seen a source, or a record: the question that an erasure request asks."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.data.ingest import ORIGIN, Say
from flows.history import objects, run_commits
from flows.history.objects import Objects
from tasks.cleaning import text as cleaning
from tasks.registry import records
from tasks.registry.records import Version

if TYPE_CHECKING:
    import pyarrow as pa

SHORT = 12  # characters; a shorter text is looked for as a whole record, it would be inside many
PIECE = 20  # characters of a sentence by which what is left of a cleaned record is known
SENTENCES = re.compile(r"(?<=[.!?。！？])\s*|\n+")
PREPARED = "build/prepare"
USES = {"train": "had it to train on", "validation": "was chosen by it", "test": "was judged on it"}
BASE_USES = {"train": "its base and tokenizer had it to train on", "validation": "its base was measured on it"}


@dataclass(frozen=True)
class Held:
    """A data version: where it holds what was asked for; None where its objects are neither in the cache nor in the remote."""

    data_version: str
    places: list[str] | None


@dataclass(frozen=True)
class Saw:
    """A model version, and how it came to see what was asked for."""

    model: str
    aliases: tuple[str, ...]
    data_version: str
    how: list[str]


@dataclass(frozen=True)
class Exposure:
    """The answer: what was asked for, and everything known of it."""

    asked: str  # `source NAME` or `record`
    data_versions: list[Held]
    models: list[Saw]

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """For people."""
        for held in self.data_versions:
            told = "not at hand, cannot be searched; `stemma pull` fetches it" if held.places is None else "\n".join(held.places) or "no"
            yield "data version", held.data_version, told
        for saw in self.models:
            called = f" ({', '.join(saw.aliases)})" if saw.aliases else ""
            yield "model", f"{saw.model}{called}", "\n".join(saw.how)


def exposure(root: Path, asked: str, say: Say) -> Exposure:
    """Of the source called `asked`, where one is or was called so; else of the record with this text.

    Raises:
        TrackingError: the registry does not answer.
    """
    known = records.versions(root)
    versions = _data_versions(root, known)
    with objects.opened(root) as found:
        origins = {version: _origin(found, version) for version in versions}
        named = [origin for origin in origins.values() if origin and asked in origin]
        if named or any(asked in _tagged(version) for version in known):
            return _of_source(asked, origins, known)
        return _of_record(found, asked, versions, known, say)


def _data_versions(root: Path, known: list[Version]) -> list[str]:
    """Every one that a commit or a model names, newest first."""
    commits = run_commits.changes_of_data(root, "--all")
    named = [*run_commits.data_versions_at(root, commits), *(version.tags.get("stemma.data_version") for version in known)]
    return list(dict.fromkeys(version for version in named if version and version != "none"))


# --- a source -----------------------------------------------------------------------------------------------------------------------------


def _of_source(name: str, origins: Mapping[str, Mapping[str, Any] | None], known: list[Version]) -> Exposure:
    held = [Held(version, None if origin is None else _targets(name, origin)) for version, origin in origins.items()]
    saw = []
    for version in known:
        data = version.tags.get("stemma.data_version", "none")
        source = (_tagged(version) or origins.get(data) or {}).get(name)
        if source:
            saw.append(Saw(f"{version.name}/{version.version}", version.aliases, data, [_use(source["target"], version.name)]))
    return Exposure(f"source {name}", [one for one in held if one.places != []], saw)


def _use(target: str, application: str) -> str:
    if target == "corpus" or target.startswith("pretrained/"):
        return "its base was made from it"
    return "fine-tuned and judged on it" if target == application else f"in its data version, for {target} alone"


def _targets(name: str, origin: Mapping[str, Any]) -> list[str]:
    return [f"for {origin[name]['target']}"] if name in origin else []


def _tagged(version: Version) -> dict[str, Any]:
    return json.loads(version.tags.get("stemma.sources", "{}"))


def _origin(found: Objects, version: str) -> dict[str, Any] | None:
    """The sources of a data version by name; None where its objects are not at hand."""
    listing = found.listing(version)
    if listing is None or ORIGIN not in listing:
        return None if listing is None else {}
    opened = found.open(listing[ORIGIN])
    if opened is None:
        return None
    with opened:
        return json.load(opened)["sources"]


# --- a record -----------------------------------------------------------------------------------------------------------------------------


def _of_record(found: Objects, text: str, versions: list[str], known: list[Version], say: Say) -> Exposure:
    """Search each object once, however many versions share it."""
    searched: dict[tuple[str, bool], str | None] = {}

    def search(md5: str, pieces: bool) -> str | None:
        if (md5, pieces) not in searched:
            searched[md5, pieces] = _search(found, md5, text, pieces)
        return searched[md5, pieces]

    held = []
    for number, version in enumerate(versions, 1):
        say(f"data version {version} ({number} of {len(versions)})")
        held.append(Held(version, _places(found, version, partial(search, pieces=False))))
    saw = []
    for model in known:
        data = model.tags.get("stemma.data_version", "none")
        places = next((one.places for one in held if one.data_version == data), None)
        prepared = _places(found, model.tags.get("stemma.hash.prepare", ""), partial(search, pieces=True)) if places else None
        if how := _how(model.name, places, prepared):
            saw.append(Saw(f"{model.name}/{model.version}", model.aliases, data, how))
    return Exposure("record", held, saw)


def _how(application: str, places: list[str] | None, prepared: list[str] | None) -> list[str]:
    """What a model had to do with a record, from where it lay before and after `prepare`."""
    if places is None:
        return ["not known: its data version is not at hand"]
    concerned = [place for place in places if place.partition("/")[0] in ("corpus", application)]
    if not concerned:
        return []
    if prepared is None:
        return [f"not known: data held it in {', '.join(concerned)}, and what `prepare` made of that is not at hand"]
    folders, how = {place.partition("/")[0] for place in concerned}, []
    for place in prepared:
        folder, _, rest = place.partition("/")
        split, _, detail = rest.partition(".parquet")
        uses = BASE_USES if folder == "corpus" else USES
        if folder in folders and split in uses:
            how.append(f"{uses[split]} ({PREPARED}/{folder}/{split}{detail})")
    return how or [f"not seen: `prepare` removed it from {', '.join(concerned)}"]


def _places(found: Objects, folder: str, search: Callable[[str], str | None]) -> list[str] | None:
    """The Parquet files of a folder that hold it, and how; None where one that may is not at hand."""
    listing = found.listing(folder) if folder else None
    if listing is None:
        return None
    places = []
    for name, md5 in sorted(listing.items()):
        if name.endswith(".parquet"):
            try:
                held = search(md5)
            except FileNotFoundError:
                return None
            if held:
                places.append(f"{name}: {held}")
    return places


def _search(found: Objects, md5: str, text: str, pieces: bool) -> str | None:
    """How the rows of an object hold `text`; with `pieces` also what cleaning may have left of it. None: they do not.

    Raises:
        FileNotFoundError: the object is neither in the cache nor in the remote.
    """
    import pyarrow.parquet as pq

    opened = found.open(md5)
    if opened is None:
        raise FileNotFoundError(md5)
    wanted = {text.strip(), cleaning.normalize(text).strip()}
    parts = {part for one in wanted for part in SENTENCES.split(one) if len(part) >= PIECE} if pieces else set()
    whole = inside = 0
    left: set[str] = set()
    with opened, pq.ParquetFile(opened) as file:
        for batch in file.iter_batches():
            for column in filter(None, map(_texts, batch.columns)):
                whole += _count("equal", column, wanted)
                inside += _count("match_substring", column, {one for one in wanted if len(one) >= SHORT})
                left |= {part for part in parts - left if _count("match_substring", column, {part})}
    if whole:
        return f"{whole} row{'s'[: whole > 1]}"
    if inside:
        return f"inside {inside} longer row{'s'[: inside > 1]}"
    return f"in part, {len(left)} of {len(parts)} sentences" if left else None


def _count(function: str, column: "pa.Array", wanted: set[str]) -> int:
    """Rows for which one of `wanted` is equal to the text, or inside it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    hits = [getattr(pc, function)(column, one) for one in wanted]
    if not hits:
        return 0
    either = hits[0]
    for hit in hits[1:]:
        either = pc.or_(either, hit)
    return pc.sum(either.cast(pa.int64())).as_py() or 0


def _texts(column: "pa.Array") -> "pa.Array | None":
    """A column of text, or of lists of words as text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return column
    if pa.types.is_list(column.type) and pa.types.is_string(column.type.value_type):
        return pc.binary_join(column, " ")
    return None
