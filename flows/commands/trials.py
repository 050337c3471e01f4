"""`stemma tune` and `ablate`: parse, call, print."""

from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from flows.commands.printing import Json, agreed, console, print_json, say
from model.errors import UserError

if TYPE_CHECKING:
    from flows.trials.study import Tuned


def tune(
    context: typer.Context,
    stages: Annotated[list[str], typer.Argument(metavar="STAGE...", help="With ranges in section `tune` of params.yaml.")],
    trials: Annotated[
        int, typer.Option(help="Of each stage, in all: those of an earlier command, or of one that was stopped, count.")
    ] = 30,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write the best numbers into params.yaml without asking.")] = False,
    as_json: Json = False,
) -> None:
    """Look for better numbers: trials in checkouts of their own, judged on validation data, cached like every run.

    Example: `stemma tune finetune@sentiment --trials 30`
    """
    from flows import settings
    from flows.trials import study

    root: Path = context.obj
    found = study.tune(root, stages, trials, say)
    before, after = (root / "params.yaml").read_text(encoding="utf-8"), study.adopted(root, found)
    diff = "".join(unified_diff(before.splitlines(True), after.splitlines(True), "params.yaml", "params.yaml, tuned", n=0))
    if not as_json:
        for one in found:
            _show_study(one)
        typer.echo(diff or "params.yaml has the best numbers already", nl=not diff)
    written = bool(diff) and _agreed(yes)
    if written:
        settings.save(root, after)
    if as_json:
        print_json({"studies": [one.to_json() for one in found], "diff": diff, "written": written})
    elif written:
        typer.echo("written to params.yaml; `stemma run` restores what the trials have made")


def ablate(
    context: typer.Context,
    application: Annotated[str, typer.Argument(help="sentiment, translation, summarization, qa or srl.")],
    seeds: Annotated[int, typer.Option(help="Trainings of each variant; two or more give an interval.")] = 1,
    markdown: Annotated[bool, typer.Option("--markdown", help="The table as Markdown.")] = False,
    as_json: Json = False,
) -> None:
    """What each means against overfitting is worth: every variant of section `ablate`, judged on the validation split.

    Example: `stemma ablate sentiment --seeds 3 --markdown`
    """
    from flows.trials import ablation

    if markdown and as_json:
        raise UserError("ablate: --markdown and --json exclude each other; give one of them")
    found = ablation.ablate(context.obj, application, seeds, say)
    if as_json:
        return print_json(found.to_json())
    if markdown:
        return typer.echo(found.markdown())
    table = Table(*found.header(), title=f"{application}: lower is better")
    for row in found.rows:
        table.add_row(*row.cells())
    return console.print(table)


def _agreed(yes: bool) -> bool:
    """Where there is nobody to ask, the answer is no: what was found is shown all the same."""
    try:
        return agreed("tune", "Write this to params.yaml?", yes)
    except UserError as nobody:
        say(str(nobody))
        return False


def _show_study(one: "Tuned") -> None:
    table = Table("trial", "numbers", "validation loss", "", title=f"{one.stage}, study {one.study}")
    for trial in sorted(one.trials, key=lambda trial: (trial.value is None, trial.value, trial.number)):
        numbers = ", ".join(f"{key} {value}" for key, value in trial.values.items())
        marks = [*(["[green]best[/]"] if trial.number == one.best else []), *(["the present numbers"] if trial.number == 0 else [])]
        said = trial.state if trial.state != "complete" else ", ".join(marks)
        table.add_row(str(trial.number), numbers, "" if trial.value is None else f"{trial.value:.4f}", f"{said} {trial.reason}".strip())
    console.print(table)
    if one.importances:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in sorted(one.importances.items(), key=lambda item: -item[1]))
        finished = sum(trial.value is not None for trial in one.trials)
        typer.echo(f"what the loss depends on, as far as {finished} trials tell: {shares}")
    typer.echo(f"pictures: {', '.join(str(file) for file in one.pictures)}")
