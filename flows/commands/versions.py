"""`stemma data log`, `stemma data diff` and `stemma rollback`: parse, call, print."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from flows.commands.printing import Json, agreed, console, print_json, say
from model.errors import UserError

if TYPE_CHECKING:
    from flows.history.states import Change, Part

data = typer.Typer(help="Data versions.", no_args_is_help=True)


@data.command("log")
def data_log(context: typer.Context, as_json: Json = False) -> None:
    """The data versions, newest first: what is in each, and the model versions trained on it.

    Example: `stemma data log`
    """
    from flows.data import log

    found = log.data_log(context.obj)
    if as_json:
        return print_json([version.to_json() for version in found])
    table = Table(Column("data version", no_wrap=True), "date", "commit", "rows and size", "used by", "message")
    for version in found:
        sizes = version.folders().items()
        told = [f"{name}: {'' if rows is None else f'{rows:,} rows, '}{size / 1e6:.1f} MB" for name, (rows, size) in sizes]
        parts = "\n".join(told) or f"{version.size / 1e6:.1f} MB, not at hand"
        table.add_row(
            f"{version.hash}\n[green]in use[/]" if version.in_use else version.hash,
            version.date,
            version.commit[:10],
            parts,
            "\n".join(version.models),
            version.message,
        )
    return console.print(table)


@data.command("diff")
def data_diff(
    context: typer.Context,
    before: Annotated[str, typer.Argument(metavar="A", help="A data version, or a run, model version, git revision or date that had one.")],
    after: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    samples: Annotated[int, typer.Option(min=0, help="Rows shown of each kind and part.")] = 3,
    as_json: Json = False,
) -> None:
    """What differs between two data versions, without checking either out.

    Example: `stemma data diff 094dbd77 2e06bcd1`
    """
    from flows.data import diff as diffs

    found = diffs.data_diff(context.obj, before, after, samples)
    if as_json:
        return print_json(found.to_json())
    table = Table("part", "rows", "added", "removed", "changed", "bytes", "characters", "languages, labels")
    for row in found.table():
        table.add_row(*row)
    if not found.table():
        return typer.echo(f"{found.before} and {found.after}: nothing differs")
    console.print(table)
    return typer.echo("\n".join(found.shown_samples()))


def rollback(
    context: typer.Context,
    ref: Annotated[str, typer.Argument(metavar="REF", help="A data version, run, model version, git revision or date.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    code: Annotated[bool, typer.Option("--code", help="The code too.")] = False,
    data_only: Annotated[bool, typer.Option("--data-only", help="data/, data.dvc and sources.yaml alone.")] = False,
    model_only: Annotated[bool, typer.Option("--model-only", help="The aliases of the models alone.")] = False,
    as_json: Json = False,
) -> None:
    """Go back: data, outputs, numbers and model aliases as they were, verified, in one git commit that can itself be gone back on.

    Example: `stemma rollback 2e06bcd1`, or `stemma rollback sentiment/1 --model-only --yes`
    """
    from flows.history import rollback as rollbacks

    if code + data_only + model_only > 1:
        raise UserError("rollback: --code, --data-only and --model-only exclude each other; give one of them")
    parts: set[Part] = {"data"} if data_only else {"models"} if model_only else set(rollbacks.EVERYTHING)
    if code:
        parts.add("code")
    done = rollbacks.rollback(context.obj, ref, frozenset(parts), lambda change: _agreed(change, yes), say)
    if done is None:
        return say("nothing was changed")
    if as_json:
        return print_json(done.to_json())
    return typer.echo(done.summary())


def _agreed(change: "Change", yes: bool) -> bool:
    """Show what will change, and ask."""
    for line in change.lines():
        say(line)
    return agreed("rollback", "Go back?", yes)


def show_history(root: Path, name: str, as_json: bool) -> None:
    """The moves of a model's aliases.

    Raises:
        UserError: there is no such model.
    """
    from tasks.registry import aliases, records

    found = aliases.history(root, name)
    if not found and name not in (known := sorted({version.name for version in records.versions(root)})):
        raise UserError(f"models: --history {name}: no such model; there is {', '.join(known) or 'none yet'}")
    if as_json:
        return print_json([move.to_json() for move in found])
    table = Table("time", "who", "alias", "version", "why")
    for move in found:
        table.add_row(move.time, move.who, move.alias, f"{move.before or 'none'} -> {move.after or 'none'}", move.why)
    return console.print(table)
