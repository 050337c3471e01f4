"""Records that a person wants erased in; a data version without them, the list of their hashes, and where copies remain, out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows import atomic, workspace
from flows.data import copies, ingest
from flows.data.copies import Copies
from flows.data.ingest import IngestReport, Say
from flows.data.versions import DataVersion, in_use
from flows.history import commits
from model.errors import UserError
from tasks.intake import forgotten, sources
from tasks.intake.forgotten import Forgotten


@dataclass(frozen=True)
class Forgot:
    """What an erasure did."""

    num_records: int
    num_found: int  # of them, in any data version
    report: IngestReport
    copies: Copies
    commit: str | None

    @property
    def removed(self) -> dict[str, int]:
        """How many rows went, by file."""
        gone = {name: before - self.report.rows.get(name, 0) for name, before in self.report.rows_before.items()}
        return {name: count for name, count in gone.items() if count}

    def summary(self) -> str:
        """For people, several lines."""
        rows = [f"  {name:<40}{count:>9,} rows removed" for name, count in self.removed.items()]
        head = f"data version {self.report.version.hash}: without them; {self.num_found} of {self.num_records} were in some version"
        lines = self.copies.lines()
        remain = ["copies remain in:", *(f"  {line}" for line in lines)] if lines else ["no copy is left that Stemma knows of"]
        done = [f"commit {self.commit[:10]}; forgotten.txt has the hashes" if self.commit else "nothing committed"]
        return "\n".join([head, *rows, *remain, *done])


def forget(root: Path, file: Path, *, commit: bool = True, say: Say | None = None) -> Forgot:
    """Make a data version without the records that `file` lists, and remember them in forgotten.txt, so that none comes in again.

    Raises:
        UserError: the file is missing or no list of records, a split would be left without rows, or the data in use is of the user's own
            making.
    """
    say = say or ingest.to_stderr
    workspace.check(root)
    try:
        asked = frozenset(forgotten.records_in(file.read_text(encoding="utf-8-sig")))
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; give one with a record a line") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as UTF-8 text ({error}); give a file with one record a line") from None
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    if not asked:
        raise UserError(f"{file}: no record in it; give one a line, as text or as a row in JSON")
    with ingest.workplace(root, say) as work:
        gone = Forgotten(forgotten.read(root).hashes | asked)
        report = _apply(root, work, ingest.origin_in_use(root, work, say), gone, say)
    message = f"Forget {len(asked)} records\n\nData version {report.version.hash}.\n"
    made = commits.commit(root, ["data.dvc", forgotten.FILE], message) if commit else None
    num_found, remaining = copies.remaining(root, Forgotten(asked), say)
    return Forgot(len(asked), num_found, report, remaining, made)


def reapply(root: Path, say: Say) -> IngestReport | None:
    """Take what forgotten.txt lists out of the data version in use, such as one that was gone back to; None if it is not in there.

    Data of the user's own making, which does not say what it was made from, is left alone.
    """
    if not forgotten.read(root).hashes:
        return None
    with ingest.workplace(root, say) as work:
        gone, recorded = forgotten.read(root), ingest.recorded_origin(root) if ingest.checked_out(root, work, say) else {}
        return _apply(root, work, recorded, gone, say) if _held(recorded, gone) else None


def outstanding(root: Path) -> bool:
    """Whether a run would first take records out of the data version in use."""
    gone, version = forgotten.read(root), in_use(root)
    if version is None or not gone.hashes:
        return False
    return _held(copies.origin(root, version.hash) or ingest.recorded_origin(root), gone)


def keep_away(root: Path, say: Say) -> None:
    """The same before a run, as a commit, with the list, which an erasure that was killed has left there.

    Whoever went back by hand does not train on forgotten records either.
    """
    if (report := reapply(root, say)) is None:
        return
    commits.commit(root, ["data.dvc", forgotten.FILE], f"Keep forgotten records away\n\nData version {report.version.hash}.\n")
    say(f"data version {report.version.hash}: forgotten records taken out again")


def _held(recorded: Mapping[str, Any], gone: Forgotten) -> bool:
    return bool(recorded) and not gone.hashes <= set(recorded.get("forgotten", ()))


def _apply(root: Path, work: Path, recorded: Mapping[str, Any], gone: Forgotten, say: Say) -> IngestReport:
    """The sources that `data/` was made from, without what is gone; nothing is read or fetched again unless sources.yaml has changed."""
    listed = sources.read(root / "sources.yaml")
    before = [name for name in recorded.get("sources", {}) if name in listed.sources]
    chosen = {name: listed.sources[name] for name in before} or sources.choose(listed, [])

    def keep(_: DataVersion) -> None:
        atomic.write(root, root / forgotten.FILE, gone.listing())

    return ingest.make(root, work, listed, chosen, say, before=keep, gone=gone, as_made=True)
