"""`stemma verify`: a registered version made again from its run commit, with no cache, and every output compared byte by byte."""

import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from flows import environment, graph, processes
from flows.content import content_hash
from flows.data.ingest import Say
from flows.history import checkouts, objects
from flows.proof import evidence, lineage
from flows.proof.evidence import Finding
from flows.proof.lineage import Lineage, Link
from tasks import machine, params
from tasks.registry import records
from tasks.registry.identity import hash_of

State = Literal["same", "differs", "failed", "not rebuilt"]
SAID = {"not rebuilt": "was not rebuilt"}


@dataclass(frozen=True)
class Rebuilt:
    """What became of a stage; `why` tells what may explain that its bytes are others."""

    stage: str
    state: State
    detail: str
    seconds: float = 0.0
    why: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Verdict:
    """Of one version: what its stored bytes are like, and what came out of the same stages now."""

    model: str
    run_commit: str
    stored: list[Finding]
    rebuilt: list[Rebuilt]

    @property
    def same(self) -> bool:
        """Whether every byte that was looked at is what it was, and every stage could be rebuilt."""
        return not any(one.state == "differs" for one in self.stored) and all(one.state == "same" for one in self.rebuilt)

    @property
    def first(self) -> Rebuilt | None:
        """The first stage that went another way."""
        return next((one for one in self.rebuilt if one.state != "same"), None)

    def summary(self) -> str:
        """For people, a line."""
        wrong = [one.what for one in self.stored if one.state == "differs"]
        if self.same and self.rebuilt:
            return f"{self.model}: every output rebuilt from run commit {self.run_commit[:10]} has the same bytes"
        if self.same:
            return f"{self.model}: what is stored has the bytes it was registered with"
        parts = [f"stored bytes differ: {', '.join(wrong)}"] if wrong else []
        parts += (
            [f"{self.first.stage} is the first that {SAID.get(self.first.state, self.first.state)}: {self.first.detail}"]
            if self.first
            else []
        )
        return f"{self.model}: {'; '.join(parts)}"

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        first = self.first.stage if self.first else None
        return {"same": self.same, "first_difference": first} | asdict(self)


def verify(root: Path, references: Sequence[str], cached: bool, say: Say) -> list[Verdict]:
    """Of each version: hash its stored bytes, and unless `cached` make it again; what one run commit made is made once.

    Raises:
        UserError: there is no such version, or its run commit is not in this repository.
        TrackingError: the registry does not answer.
    """
    chains = [lineage.lineage(root, reference) for reference in references]
    stored = {chain.title: _stored(root, chain, say) for chain in chains}
    rebuilt: dict[str, Rebuilt] = {}
    verdicts = []
    for commit, together in groupby(sorted(chains, key=lambda chain: chain.run_commit), key=lambda chain: chain.run_commit):
        group = list(together)
        rebuilt = {} if cached else _rebuild(root, commit, group, stored, say)
        for chain in group:
            names = [link.stage for link in reversed(chain.links)]
            verdicts.append(Verdict(chain.title, commit, stored[chain.title], [rebuilt[name] for name in names if name in rebuilt]))
    return sorted(verdicts, key=lambda verdict: [chain.title for chain in chains].index(verdict.model))


def _stored(root: Path, chain: Lineage, say: Say) -> list[Finding]:
    say(f"{chain.title}: hashing what is stored")
    return evidence.check(root, chain, lambda line: None)


def _rebuild(root: Path, commit: str, chains: list[Lineage], stored: Mapping[str, list[Finding]], say: Say) -> dict[str, Rebuilt]:
    """Every stage of `chains`, each once and after those it needs; what needs a stage that went another way is left."""
    links = {link.stage: link for chain in chains for link in reversed(chain.links)}
    data = next(one for one in stored[chains[0].title] if one.what == "data version")
    if data.state != "same":
        return {name: Rebuilt(name, "not rebuilt", f"its data version: {data.detail}") for name in links}
    registered = {f"finetune@{chain.name}": chain.checkpoint for chain in chains}
    done: dict[str, Rebuilt] = {}
    say(f"run commit {commit[:10]}: {len(links)} stages to rebuild, in a checkout of its own without a cache")
    with checkouts.isolated(root, commit, shared_cache=False) as project:
        shutil.rmtree(project / ".stemma" / "checkpoints", ignore_errors=True)  # nothing of an earlier attempt
        commands = _commands(project)
        for name, link in links.items():
            if bad := [need for need in link.needs if need in done and done[need].state != "same"]:
                done[name] = Rebuilt(name, "not rebuilt", f"{bad[0]} {done[bad[0]].state}")
            elif name not in commands:
                done[name] = Rebuilt(name, "differs", "no such stage in dvc.yaml of the run commit")
            else:
                say(f"{name}: rebuilding")
                done[name] = _make(root, project, link, commands[name], registered.get(name), chains[0])
            say(f"{name}: {done[name].state}, {done[name].detail} ({done[name].seconds:.1f} s)")
    return done


def _commands(project: Path) -> dict[str, Any]:
    with graph.opened(project) as repo:
        return {name: stage.cmd for name, stage in graph.stages(repo).items()}


def _make(root: Path, project: Path, link: Link, command: Any, registered: str | None, chain: Lineage) -> Rebuilt:
    """Run one stage as its dvc.yaml says, unknown to MLflow, and compare what it wrote."""
    began, log = time.monotonic(), project / ".stemma" / "logs" / f"{link.stage}.log"
    group = processes.Pack(project).start(link.stage, processes.shell(command), {}, log)
    try:
        code = group.wait()
    finally:
        group.kill()
        group.forget()
    seconds = time.monotonic() - began
    if code:
        last = next((line.strip() for line in reversed(processes.tail(log)) if line.strip()), "no output")
        return Rebuilt(link.stage, "failed", f"exit code {code}: {last}", seconds, [*_why(root, project, link, chain)])
    wrong = [*_differences(root, project, link)]
    if registered and not wrong and hash_of(project / next(iter(link.outs))) != registered:
        wrong = [f"the checkpoint does not have the registered sha256 {registered}"]
    if wrong:
        return Rebuilt(link.stage, "differs", "; ".join(wrong), seconds, [*_why(root, project, link, chain)])
    return Rebuilt(link.stage, "same", f"{', '.join(link.outs)}", seconds)


def _differences(root: Path, project: Path, link: Link) -> Iterator[str]:
    """The outputs, and the files in them, that are not what the registered version was made with."""
    for path, md5 in link.outs.items():
        made = content_hash(project / path)
        if made is None:
            yield f"{path} was not written"
        elif made != md5:
            files = [*_files(root, project / path, md5)] if made.endswith(".dir") else []
            yield f"{path} {f'({evidence.named(files)}) ' if files else ''}is {made}, and was {md5}"


def _files(root: Path, folder: Path, md5: str) -> Iterator[str]:
    """As far as the cache or the remote knows the files that there were."""
    with objects.opened(root) as found:
        before = found.listing(md5) or {}
    for name in sorted({*before, *(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())}):
        if before and content_hash(folder / name) != before.get(name):
            yield name


# --- why --------------------------------------------------------------------------------------------------------------------------------


def _why(root: Path, project: Path, link: Link, chain: Lineage) -> Iterator[str]:
    """What is not as it was when the stage ran, of all that can change a byte; what it reads was compared already."""
    yield from evidence.changed_params(params.read(project / "params.yaml"), link)
    installed = environment.installed() | {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for name, before in sorted(chain.libraries.items()):
        now = installed.get(name, "absent")
        if now != before:
            yield f"{name} was {before}, is {now}"
    yield from _machine(root, link)


def _machine(root: Path, link: Link) -> Iterator[str]:
    """How this machine differs from the one that ran the stage, where MLflow knows that one."""
    then: dict[str, str] = json.loads((records.run_tags(root, link.run or "none") or {}).get("stemma.machine", "{}"))
    if not then:
        yield f"the machine that ran {link.stage} is not recorded"
    for name, now in machine.facts().items():
        if then.get(name, now) != now:
            yield f"{name} was {then[name]}, is {now}"
