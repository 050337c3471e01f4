"""`stemma run --rev`: the lifecycle of a commit, by its own code, beside whatever goes on in the user's work tree."""

import sys
from collections.abc import Sequence
from pathlib import Path

from flows import atomic, stopping
from flows.history import checkouts, references
from flows.processes import Pack
from model.errors import UserError
from tasks.intake import forgotten
from tasks.intake.forgotten import Forgotten

STOP = 2  # seconds that it has to tell Prefect and MLflow that it is stopped


def run(root: Path, rev: str, arguments: Sequence[str] = (), log: Path | None = None) -> int:
    """The exit code of `stemma run` with `arguments` in a checkout of `rev`; what it says goes to `log`, or where we write if None.

    What it makes is in MLflow, the run-cache and a run commit; the checkout is removed.

    Raises:
        UserError: `rev` stands for no commit with a project and its data.
    """
    commit = references.resolve(root, rev).commit
    if commit is None:
        raise UserError(f"{rev}: no commit is known of it, so there is no code to run; name another")
    with stopping.promptly(), checkouts.isolated(root, commit) as place:
        _forget_too(root, place)
        group = Pack(place).start("stemma run", [sys.executable, "-m", "stemma", "run", *arguments], {}, log)
        try:
            return group.wait()
        except BaseException:
            group.terminate(STOP)
            raise
        finally:
            group.forget()


def _forget_too(root: Path, place: Path) -> None:
    """What has been forgotten since that commit is kept away from its run too."""
    then = forgotten.read(place).hashes
    if since := forgotten.read(root).hashes - then:
        atomic.write(place, place / forgotten.FILE, Forgotten(then | since).listing())
