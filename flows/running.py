"""`stemma run`: one lifecycle from the command line, with a Prefect server of its own where there is no other."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from flows import stopping, walk
from flows.display import Display
from flows.repair import unended
from flows.services import prefect_server
from flows.walk import LifecycleResult


def run(root: Path, only: Sequence[str] = (), force: Sequence[str] = ()) -> LifecycleResult:
    """Bring the stages up to date and register the models; progress on stderr.

    Raises:
        UserError: the project is not in a state to run, or Prefect or the data cannot be reached.
    """
    with stopping.promptly(), Display(root) as display, walk.opened(root, display, only, force) as steps:
        url = prefect_server.named(root)
        if steps.executes_nothing() and not unended.left_with_prefect(root):  # it takes no Prefect to see that, or to restore
            steps.alone()
            return steps.result()
        with reporting_to(root, url):
            from flows import lifecycle

            lifecycle.drive(steps)
        return steps.result()


@contextmanager
def reporting_to(root: Path, url: str | None) -> Iterator[None]:
    """Point Prefect at a server: the one at `url`, or a private one until the end."""
    server = None if url else prefect_server.PrivateServer(root)
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"  # its log is for its server; people see the display
    try:
        from prefect import settings  # while the server starts

        with settings.temporary_settings({settings.PREFECT_API_URL: server.wait() if server else url}):
            yield
    finally:
        if server:
            server.stop()
