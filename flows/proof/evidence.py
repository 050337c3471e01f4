"""Whether the bytes behind a lineage are still what it says: every hash recomputed whose bytes are on this machine."""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML

from flows.data.ingest import Say
from flows.history import git, objects
from flows.history.objects import Objects
from flows.proof.lineage import Lineage, Link
from model.errors import UserError
from tasks import params

State = Literal["same", "differs", "not at hand"]
NAMED = 3  # files, of many that differ or are missing


@dataclass(frozen=True)
class Finding:
    """What became of one hash."""

    what: str
    state: State
    detail: str

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def check(root: Path, chain: Lineage, say: Say) -> list[Finding]:
    """Hash again, from the bytes and not from anybody's records: the registered model, the objects of the DVC cache, the sources' files.

    Raises:
        TrackingError: the registry does not answer.
    """
    findings = []
    with objects.opened(root) as found:
        for finding in _each(root, chain, found):
            say(f"{finding.what}: {finding.state}{f', {finding.detail}' if finding.detail else ''}")
            findings.append(finding)
    return findings


def _each(root: Path, chain: Lineage, found: Objects) -> Iterator[Finding]:
    yield from registered(root, chain)
    for link in chain.links:
        for path, md5 in link.outs.items():
            yield stored(f"{link.made} {path}", md5, found)
        if link.made == "checkpoint":
            yield _same_checkpoint(chain, link.hash, found)
        if link.made == "evaluation":
            yield _same_examples(chain, link.hash, found)
    yield stored("data version", chain.data_version, found)
    for name, source in chain.sources.items():
        yield from pinned(root, name, source)
    yield run_commit(root, chain)


def registered(root: Path, chain: Lineage) -> Iterator[Finding]:
    """The checkpoint and the code that MLflow hands out, against the hashes they were registered with."""
    from tasks import register
    from tasks.registry import bundle
    from tasks.registry.identity import hash_of

    with tempfile.TemporaryDirectory() as folder:
        found = register.handed_out(root, chain.name, chain.version, Path(folder))
        if found is None:
            yield Finding("registered model", "not at hand", "MLflow's artifact store lacks it")
            return
        checkpoint, code = found
        wrong = [] if hash_of(checkpoint) == chain.checkpoint else [f"its files do not have sha256 {chain.checkpoint}"]
        wrong += [] if bundle.name(code / chain.code) == chain.code else [f"its code is not {chain.code}"]
        yield Finding("registered model", "differs" if wrong else "same", "; ".join(wrong))


def stored(what: str, md5: str, found: Objects) -> Finding:
    """A file or folder in the DVC cache against the hash it is kept under."""
    listing = {"": md5}
    if md5.endswith(".dir"):
        file = found.local(md5)
        if not file.is_file():
            return Finding(what, "not at hand", f"the DVC cache lacks {md5}")
        if f"{_md5(file)}.dir" != md5:
            return Finding(what, "differs", f"{md5} in the DVC cache has other bytes")
        listing = {entry["relpath"]: entry["md5"] for entry in json.loads(file.read_text(encoding="utf-8"))}
    places = {name or what: (found.local(digest), digest) for name, digest in listing.items()}
    missing = [name for name, (file, _) in places.items() if not file.is_file()]
    wrong = [name for name, (file, digest) in places.items() if name not in missing and _md5(file) != digest]
    if wrong:
        return Finding(what, "differs", f"in the DVC cache {named(wrong)} has other bytes")
    if missing:
        return Finding(what, "not at hand", f"the DVC cache lacks {named(missing)}")
    size = sum(file.stat().st_size for file, _ in places.values())
    return Finding(what, "same", f"{len(places)} file{'s'[: len(places) > 1]}, {size / 1e6:.1f} MB")


def _same_checkpoint(chain: Lineage, md5: str, found: Objects) -> Finding:
    """That what was registered is what the stage made: two hashes of the same files, by two tools."""
    what = "checkpoint as registered"
    listing = found.listing(md5)
    if listing is None or not all(found.local(digest).is_file() for digest in listing.values()):
        return Finding(what, "not at hand", "the DVC cache lacks files of the checkpoint")
    digest = hashlib.sha256()
    for name in sorted(listing):
        digest.update(f"{name}\0{_digest(found.local(listing[name]), 'sha256')}\n".encode())
    same = digest.hexdigest() == chain.checkpoint
    return Finding(what, "same" if same else "differs", "" if same else f"{md5} does not have sha256 {chain.checkpoint}")


def _same_examples(chain: Lineage, md5: str, found: Objects) -> Finding:
    what, listing = "evaluated examples", found.listing(md5) or {}
    file = found.local(listing["evaluation.json"]) if "evaluation.json" in listing else None
    if file is None or not file.is_file():
        return Finding(what, "not at hand", "the DVC cache lacks the evaluation")
    same = json.loads(file.read_text(encoding="utf-8"))["evaluation_hash"] == chain.evaluation
    return Finding(what, "same" if same else "differs", "" if same else "the evaluation was made on other examples than the tags say")


def pinned(root: Path, name: str, source: Mapping[str, Any]) -> Iterator[Finding]:
    digest = source["sha256"]
    if digest is None:
        return
    file = root / ".stemma" / "downloads" / digest
    if file.is_file():
        same = _digest(file, "sha256") == digest
        detail = f"{file.stat().st_size / 1e6:.1f} MB" if same else f".stemma/downloads/{digest} has other bytes"
        yield Finding(f"source {name}", "same" if same else "differs", detail)
    else:
        yield Finding(f"source {name}", "not at hand", f"no file with sha256 {digest} in .stemma/downloads")


def run_commit(root: Path, chain: Lineage) -> Finding:
    """git vouches for the content of a commit; it is to name the same data, outputs and parameters."""
    what = f"code commit {chain.run_commit[:10]}"
    if git.commit_of(root, chain.run_commit) is None:
        return Finding(what, "not at hand", "this repository lacks it; `stemma pull` fetches run commits")
    data, lock, numbers = git.texts(root, [f"{chain.run_commit}:./{name}" for name in ("data.dvc", "dvc.lock", "params.yaml")])
    wrong = [f"data.dvc does not name {chain.data_version}"] if chain.data_version not in (data or "") else []
    others = [f"{link.stage} {path}" for link in chain.links for path, md5 in link.outs.items() if md5 not in (lock or "")]
    wrong += [f"dvc.lock does not name the outputs of {named(others)}"] if others else []
    sections = YAML(typ="safe").load(numbers or "{}")
    wrong += [change for link in chain.links for change in changed_params(sections, link)]
    return Finding(what, "differs" if wrong else "same", "; ".join(wrong))


def changed_params(sections: dict[str, Any], link: Link) -> Iterator[str]:
    """How the numbers of a stage in a params.yaml differ from those that the registered version was made with."""
    if not link.params:
        return
    try:
        now = params.section(sections, link.stage.replace("@", ".", 1))
    except UserError as error:
        yield str(error)
        return
    for name in sorted({*now, *link.params}):
        before, after = link.params.get(name, "absent"), now.get(name, "absent")
        if before != after:
            yield f"params.yaml: {name} of {link.stage} was {before}, is {after} in the run commit"


def named(names: list[str]) -> str:
    """The first of many, for a line."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _md5(file: Path) -> str:
    return _digest(file, "md5")


def _digest(file: Path, kind: str) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, kind).hexdigest()
