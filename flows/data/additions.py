"""Something a person points at in; a source of sources.yaml, a data version with its rows, and a git commit of both out."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError

from flows import workspace
from flows.data import building, entering, ingest, origins
from flows.data.ingest import IngestReport, Say
from flows.history import commits
from model import applications
from model.errors import UserError
from tasks import checkpoint, readers, weights
from tasks.intake import detection, sources
from tasks.intake.sources import PRETRAINED, Source, Sources
from tasks.readers.auto import taken as taken_options

MAX_CHARACTERS = 4000  # of a document that a long text is cut into, as in the sources that Stemma brings


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a person said about the rows."""

    target: str  # `corpus`, an application, or `pretrained`: files of a checkpoint, which is no rows
    reader: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)  # {column: name in the file}
    options: Mapping[str, Any] = field(default_factory=dict)  # of the reader
    name: str | None = None
    license: str = "unknown"
    lang: str | None = None  # of the corpus, or `en:zh`
    replace: bool = False


@dataclass(frozen=True)
class Added:
    """What was taken in, under which name, and the commit of it."""

    name: str
    source: Source
    report: IngestReport
    commit: str | None
    all_known: bool = False  # its rows were in data/ already, under other names

    def summary(self) -> str:
        """For people, several lines."""
        done = f"read as {self.source.reader}" if self.source.reader else f"a checkpoint; `init_from: {self.name}` in params.yaml takes it"
        how = f"{self.name}: {self.source.uri}, {done}"
        known = [f"  {self.name}: {self.report.taken[self.name].rows:,} rows, all there already"] if self.all_known else []
        end = f"commit {self.commit[:10]}" if self.commit else "nothing committed"
        return "\n".join([how, self.report.summary(advice=""), *known, end])


def add(root: Path, given: Sequence[str], wish: Wish, *, commit: bool = True, say: Say | None = None) -> Added:
    """Take in what `given` names (files, folders, globs, an address, a data set, a repository) as one source.

    Whatever goes wrong, or if it is killed, nothing has changed, or the same call again brings it to its end.

    Raises:
        UserError: there is no such thing, no reader knows it, too many rows are refused, the limits of params.yaml are passed, or
            the data in use is of the user's own making.
    """
    say = say or ingest.to_stderr
    workspace.check(root)
    if not given:
        raise UserError("stemma ingest --to: nothing to take in; name a file, a folder, an archive, an address or a data set")
    if wish.target == PRETRAINED:
        _check_plain(wish)
    elif wish.lang:
        _check_languages(wish.target, wish.lang)
    elif wish.target != "corpus":
        applications.load(wish.target)
    rules = ingest.numbers_of(root).rules()
    with ingest.workplace(root, say) as work:
        recorded = ingest.origin_in_use(root, work, say)
        kept = origins.keep(root, work, given, rules.unpacking.max_unpacked_bytes)
        files = building.opened(kept, work / "new", rules.unpacking, say)
        if wish.target == PRETRAINED:
            files = _checkpoint(files, kept.name)
        before = (root / "sources.yaml").read_text(encoding="utf-8")
        text, name = _entered(before, _source(kept, files, wish), wish)
        listed = sources.parse(text)
        source = listed.sources[name]
        if same := [other for other, one in listed.sources.items() if other != name and _is_twin(one, source)]:
            say(f"{name}: sources.yaml has these bytes already, as {same[0]}, in another way; delete the entry that you do not want")
        chosen = _chosen(listed, name, wish, recorded)
        announce = partial(entering.announce, root, before=before, after=text)
        report = ingest.make(root, work, listed, chosen, say, before=announce, at_hand={name: files})
        entering.complete(root)
        if (root / "sources.yaml").read_text(encoding="utf-8") != text:
            raise UserError("sources.yaml: changed while an ingest was at work; the same command again enters its source")
    made = commits.commit(root, ["data.dvc", "sources.yaml"], _message(root, name, source, report.version.hash)) if commit else None
    grown = recorded.get("sources", {}).keys() <= chosen.keys() - {name}
    return Added(name, source, report, made, grown and _all_known(name, source, report))


def columns(written: Sequence[str]) -> dict[str, str]:
    """`COLUMN=FIELD` arguments as a dict."""
    return _pairs("--column", written, "COLUMN=FIELD, such as text=review")


def options(written: Sequence[str]) -> dict[str, Any]:
    """`KEY=VALUE` arguments as a dict, values as YAML has them."""
    found = _pairs("--option", written, "KEY=VALUE, such as encoding=gb18030")
    try:
        return {key: YAML(typ="safe").load(value) for key, value in found.items()}
    except YAMLError as error:
        raise UserError(f"--option: not valid YAML ({' '.join(str(error).split())}); mend the value") from None


def _pairs(option: str, written: Sequence[str], form: str) -> dict[str, str]:
    if wrong := [one for one in written if not all(one.partition("="))]:
        raise UserError(f"{option} {wrong[0]}: expected {form}; write it so")
    return {key: value for key, _, value in (one.partition("=") for one in written)}


def _source(kept: origins.Kept, files: Sequence[Path], wish: Wish) -> Source:
    """The entry of sources.yaml for these files."""
    if wish.target == PRETRAINED:
        return Source(license=wish.license, target=PRETRAINED, sha256=kept.sha256, uri=kept.uri)
    languages = wish.lang.split(":") if wish.lang and wish.target != "corpus" else []
    columns = _columns(wish)
    format = detection.Format(wish.reader) if wish.reader else detection.of_files(files, list(columns.values()), languages)
    if format.reader not in readers.names():
        raise UserError(f"--reader {format.reader}: no such reader; there is {', '.join(readers.names())}")
    offered = {"columns": columns, "max_characters": MAX_CHARACTERS, **dict(zip(("source_lang", "target_lang"), languages, strict=False))}
    if languages:  # documents are no translations
        del offered["max_characters"]
    options = taken_options(format.reader, offered) | dict(format.options) | dict(wish.options)
    return Source(
        license=wish.license, target=wish.target, reader=format.reader, options=options, sha256=kept.sha256, uri=kept.uri, lang=wish.lang
    )


def _check_plain(wish: Wish) -> None:
    given = {"--reader": wish.reader, "--column": wish.columns, "--option": wish.options, "--lang": wish.lang, "--replace": wish.replace}
    for option, value in given.items():
        if value:
            raise UserError(f"{option}: a checkpoint is taken as it is, beside those there are; leave {option} out")


def _check_languages(target: str, lang: str) -> None:
    """Raise UserError unless the target has languages, and as many as `lang` says."""
    if target == "corpus":
        if ":" in lang:
            raise UserError(f"--lang {lang}: a document has one language; say it alone, such as {lang.partition(':')[0] or 'en'}")
    elif "source_lang" not in applications.load(target).SCHEMA.names:
        raise UserError(f"--lang {lang}: rows of {target} have no language; leave --lang out")
    elif lang.count(":") != 1 or not all(lang.partition(":")):
        raise UserError(f"--lang {lang}: rows of {target} have two languages; say both, such as en:zh")


def _checkpoint(files: Sequence[Path], name: str) -> list[Path]:
    """Those of its files that `init_from` can use."""
    found = checkpoint.chosen(files, name)
    checkpoint.facts(found[0].parent, name)
    weights.check(found, name)
    return found


def _columns(wish: Wish) -> dict[str, str]:
    """The name in the file of each column of the target."""
    if wish.target == "corpus":
        names = ["text", *(["lang"] if "lang" in wish.columns else [])]
    else:
        names = applications.load(wish.target).SCHEMA.names
    if unknown := sorted(wish.columns.keys() - set(names) - {"lang"}):
        raise UserError(f"--column {unknown[0]}: no such column in {wish.target}; there is {', '.join(names)}")
    spoken = {"source_lang", "target_lang"} - wish.columns.keys() if wish.lang else set()
    return {name: wish.columns.get(name, name) for name in names if name not in spoken}


def _entered(text: str, source: Source, wish: Wish) -> tuple[str, str]:
    """sources.yaml with the source in it, and its name there: that of an entry that is the same, or a new one."""
    sources.parse(text)  # says what is wrong with it
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 10_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    document = yaml.load(text)
    defaults = asdict(Source(license="", target=""))

    def entry_of(name: str) -> dict[str, Any]:
        placed = replace(source, target=f"{PRETRAINED}/{name}") if source.target == PRETRAINED else source
        return {key: value for key, value in asdict(placed).items() if value != defaults[key]}

    derived = Path(origins.Kept(Path(), "", str(source.uri)).name).name.partition(".")[0]
    name = _name(document["sources"], entry_of, wish.name or derived)
    if wish.name and name != _base(wish.name):
        advice = "say another name, or delete that entry first if this one is to take its place"
        raise UserError(f"--name {wish.name}: sources.yaml has another source called {_base(wish.name)}; {advice}")
    if wish.replace:
        for other, known in document["sources"].items():
            if other != name and known["target"] == source.target:
                known["optional"] = True
    document["sources"][name] = entry_of(name)
    written = io.StringIO()
    yaml.dump(document, written)
    return written.getvalue(), name


def _is_twin(one: Source, other: Source) -> bool:
    return bool(one.sha256) and (one.sha256, one.target) == (other.sha256, other.target)


def _name(known: Mapping[str, Any], entry_of: Callable[[str], Mapping[str, Any]], wanted: str) -> str:
    base, number = _base(wanted), 1
    name = base
    while name in known and {key: value for key, value in known[name].items() if key != "optional"} != entry_of(name):
        number += 1
        name = f"{base}-{number}"
    return name


def _base(wanted: str) -> str:
    name = origins.shortened(re.sub(r"[^\w-]+", "-", wanted)).strip("-")
    return re.sub(r"-(?=\d{5}$)", "_", name) or "source"  # -00001 is a part of a corpus


def _chosen(listed: Sources, name: str, wish: Wish, recorded: Mapping[str, Any]) -> dict[str, Source]:
    """What data/ is made of now, optional sources among it, and the new one."""
    before = [other for other in recorded.get("sources", {}) if other in listed.sources]
    kept = [other for other in before if not (wish.replace and listed.sources[other].target == wish.target)]
    return sources.choose(listed, [*kept, name])


def _all_known(name: str, source: Source, report: IngestReport) -> bool:
    """Whether the rows of a source added nothing to what its application had; it alone was read."""
    files = [file for file in report.rows if file.startswith(f"{source.target}/")]
    same = all(report.rows[file] == report.rows_before.get(file) for file in files)
    return same and list(report.taken) == [name] and report.taken[name].rows > 0


def _message(root: Path, name: str, source: Source, version: str) -> str:
    """Of what is on disk, not of what this process did: whoever completes a killed ingest writes the same."""
    origin = f"From {source.uri} (sha256 {source.sha256})"
    if source.reader is None:
        files = len(list((root / "data" / source.target).iterdir()))
        return f"Ingest {name} into {PRETRAINED}, a checkpoint of {files} files\n\n{origin}. Data version {version}.\n"
    rows = sum(ingest.num_rows(root / "data", source.target).values())
    return f"Ingest {name} into {source.target}, now {rows:,} rows\n\n{origin}, read as {source.reader}. Data version {version}.\n"
