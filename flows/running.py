"""`stemma run`: one lifecycle from the command line, with a Prefect server of its own where there is no other."""

from collections.abc import Sequence
from pathlib import Path

from flows import stopping, walk
from flows.display import Display
from flows.services import flow_runs, prefect_server
from flows.walk import LifecycleResult


def run(root: Path, only: Sequence[str] = (), force: Sequence[str] = ()) -> LifecycleResult:
    """Bring the stages up to date and register the models; progress on stderr.

    Raises:
        UserError: the project is not in a state to run, or Prefect or the data cannot be reached.
    """
    with stopping.promptly(), Display(root) as display, walk.opened(root, display, only, force) as steps:
        url = prefect_server.named(root)
        if steps.executes_nothing() and not flow_runs.may_be_left(root):  # it takes no Prefect to see that, or to restore
            steps.alone()
            return steps.result()
        with prefect_server.reporting_to(root, url):
            from flows import lifecycle

            lifecycle.drive(steps)
        return steps.result()
