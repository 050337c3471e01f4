"""A study as a run in MLflow, from its opening to its end; where the server does not answer, the study goes on without."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from flows import workspace
from flows.data import versions
from flows.trials.lanes import Lanes, Trial
from tasks import studies, tracking

Told = Callable[[], tuple[str, Sequence[Path]]]


@contextmanager
def recorded(places: Lanes, stage: str, study: str, title: str, told: Told) -> Iterator[str | None]:
    """The id of the run of `study`; None where no server answers, or MLflow is not to know of `stage`.

    At its end `told` gives a table in Markdown, and pictures.
    """
    if not places.shapes[stage].tracked:
        yield None
        return
    root = places.root
    used = versions.in_use(root)
    origin = {"stemma.data_version": used.hash if used else "none", "stemma.git_commit": workspace.head_commit(root) or "none"}
    run_id = studies.open_study(root, study, title, origin)
    status: Literal["FINISHED", "KILLED"] = "KILLED"
    try:
        yield run_id
        status = "FINISHED"
    finally:
        table, pictures = told()
        if run_id:
            with suppress(tracking.TrackingError):
                studies.close_study(root, run_id, status, table, pictures if status == "FINISHED" else ())


def note(root: Path, run_id: str | None, trial: Trial, key: str | None, facts: Mapping[str, Any]) -> None:
    """Give the run of `trial`, a child of the study's, its name and `facts`."""
    if run_id is None or key is None:
        return
    with suppress(tracking.TrackingError):  # the view, which the server's death has been said of
        studies.note_trial(root, run_id, trial.stage, key, trial.name, trial.values, facts)
