"""A study in MLflow: the run above those of its trials, with a table and pictures of them."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tasks import lifecycles, tracking
from tasks.plots import MODEL

if TYPE_CHECKING:
    from tasks.tracking import MlflowClient, Run

STUDY, TRIAL = "stemma.study", "stemma.trial"
PARENT = "mlflow.parentRunId"


def open_study(root: Path, study: str, title: str, tags: Mapping[str, str]) -> str | None:
    """The id of the run of `study`, new or the one in which it stopped; None and a warning where the server does not answer."""
    try:
        client = tracking.connect(root)
        with tracking.explained(root):
            lifecycles.bury_the_dead(root)
            where = tracking.experiment(client, root)
            ours = {"stemma.workspace": tracking.workspace(root), "stemma.process": lifecycles.this_process(), STUDY: study} | dict(tags)
            known = f"tags.`{STUDY}` = '{study}' and tags.`stemma.workspace` = '{ours['stemma.workspace']}'"
            for run in client.search_runs([where], known, max_results=1):
                client.update_run(run.info.run_id, status="RUNNING")
                for name, value in ours.items():
                    client.set_tag(run.info.run_id, name, value)
                return run.info.run_id
            return client.create_run(where, run_name=title, tags=ours).info.run_id
    except tracking.TrackingError as error:
        tracking.warn(error)
        return None


def note_trial(root: Path, parent: str, stage: str, key: str, name: str, numbers: Mapping[str, Any], facts: Mapping[str, str]) -> None:
    """Give the run of a trial its name and `facts`; where its run is another lifecycle's, make one that points there.

    Raises:
        TrackingError: the server does not answer.
    """
    client = tracking.connect(root)
    with tracking.explained(root):
        where = tracking.experiment(client, root)
        ours = {TRIAL: name} | dict(facts)
        run = _of_trial(client, where, parent, stage, key, name)
        if run is None:
            other = tracking.find(client, root, stage, key)
            run = client.create_run(where, run_name=name, tags={PARENT: parent, "stemma.made_by": other or "unknown"})
            for number, value in numbers.items():
                client.log_param(run.info.run_id, number, value)
            if "stemma.loss" in facts:
                client.log_metric(run.info.run_id, "validation_loss", float(facts["stemma.loss"]))
            client.set_terminated(run.info.run_id, "FINISHED")
        for tag, value in ours.items():
            client.set_tag(run.info.run_id, tag, value)
        client.update_run(run.info.run_id, name=f"{stage} {name}")


def _of_trial(client: "MlflowClient", where: str, parent: str, stage: str, key: str, name: str) -> "Run | None":
    """Its run below `parent`, whether the stage ran for it or not."""
    below = f"tags.`{PARENT}` = '{parent}'"
    for known in (f"{below} and tags.`stemma.stage` = '{stage}' and tags.`stemma.key` = '{key}'", f"{below} and tags.`{TRIAL}` = '{name}'"):
        for run in client.search_runs([where], known, max_results=1):
            return run
    return None


def close_study(root: Path, run_id: str, status: Literal["FINISHED", "KILLED"], table: str, pictures: Sequence[Path] = ()) -> None:
    """End the run of a study, with a table (Markdown) and files to look at.

    Raises:
        TrackingError: the server does not answer.
    """
    client = tracking.connect(root)
    with tracking.explained(root):
        client.set_tag(run_id, "mlflow.note.content", table)
        client.log_text(run_id, table, "trials.md")
        for file in pictures:
            client.log_artifact(run_id, str(file))
        client.set_terminated(run_id, status)


def draw_history(file: Path, title: str, trials: Sequence[Mapping[str, Any]]) -> None:
    """The loss of every trial (`number`, `state`, `value`, `points`) in turn, and the best so far; the same trials give the same bytes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), dpi=110, layout="constrained")
    axes = figure.subplots()
    complete = [one for one in trials if one["state"] == "complete"]
    stopped = [one for one in trials if one["state"] == "stopped" and one["points"]]
    axes.scatter([one["number"] for one in complete], [one["value"] for one in complete], color=MODEL, label="complete", zorder=3)
    lowest = [min(one["points"].values()) for one in stopped]
    axes.scatter([one["number"] for one in stopped], lowest, color="#9aa5ad", marker="x", label="stopped, its lowest", zorder=2)
    best, line = math.inf, []
    for one in complete:
        best = min(best, one["value"])
        line.append(best)
    axes.step([one["number"] for one in complete], line, where="post", color=MODEL, alpha=0.5, label="best so far")
    axes.set(xlabel="trial (0: the present numbers)", ylabel="validation loss", title=title)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
    figure.savefig(file, metadata={"Software": None})


def draw_importances(file: Path, title: str, importances: Mapping[str, float]) -> None:
    """The share of each number in the variance of the loss."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.2 + 0.4 * max(len(importances), 1)), dpi=110, layout="constrained")
    axes = figure.subplots()
    names = sorted(importances, key=lambda name: importances[name])
    axes.barh(names, [importances[name] for name in names], color=MODEL)
    axes.set(xlabel="share in the variance of the validation loss (fANOVA)", xlim=(0, 1), title=title)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Software": None})


def table(trials: Sequence[Mapping[str, Any]], best: int | None) -> str:
    """The trials as Markdown."""
    lines = ["| trial | numbers | validation loss | |", "|---|---|---|---|"]
    for one in trials:
        value = f"{one['value']:.4f}" if one["value"] is not None else ""
        said = "**best**" if one["number"] == best else one["state"] if one["state"] != "complete" else ""
        lines.append(f"| {one['number']} | `{json.dumps(one['values'])}` | {value} | {said} |")
    return "\n".join(lines) + "\n"
