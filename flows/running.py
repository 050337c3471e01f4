"""`stemma run`: one lifecycle from the command line, with a Prefect server of its own where there is no other."""

from collections.abc import Callable, Sequence
from pathlib import Path

from flows import graph, stopping, walk, workspace
from flows.display import Display
from flows.services import flow_runs, prefect_server
from flows.walk import LifecycleResult


def check(root: Path, stages: Sequence[str], numbers: str | None) -> None:
    """Whether there are these stages where params.yaml has the text `numbers`, or the one it has; told before anybody waits.

    Raises:
        UserError: there is no such stage.
    """
    workspace.check(root)
    if stages:
        with graph.opened(root, {"params.yaml": numbers} if numbers else None) as repo:
            graph.upstream(graph.shapes(repo), stages)


def run(root: Path, only: Sequence[str] = (), force: Sequence[str] = (), write: Callable[[], None] | None = None) -> LifecycleResult:
    """Bring the stages up to date and register the models; progress on stderr. `write` changes params.yaml once no other run reads it.

    Raises:
        UserError: the project is not in a state to run, or Prefect or the data cannot be reached.
    """
    with stopping.promptly(), Display(root) as display, walk.opened(root, display, only, force, write) as steps:
        url = prefect_server.named(root)
        if steps.executes_nothing() and not flow_runs.may_be_left(root):  # it takes no Prefect to see that, or to restore
            steps.alone()
            return steps.result()
        with prefect_server.reporting_to(root, url):
            from flows import lifecycle

            lifecycle.drive(steps)
        return steps.result()
