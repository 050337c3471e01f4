"""`stemma lineage`, `verify` and `doctor`: parse, call, print."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.commands.printing import Json, console, print_json, say
from model.errors import UserError

COLOURS = {"same": "green", "differs": "red", "failed": "red", "not at hand": "yellow", "not rebuilt": "yellow"}


def lineage(
    context: typer.Context,
    reference: Annotated[str | None, typer.Argument(metavar="REF", help="A model version: sentiment/1 or sentiment@champion.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Recompute every hash whose bytes are at hand.")] = False,
    page: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it as a family tree into this HTML file.")] = None,
    seen: Annotated[
        str | None, typer.Option("--from", metavar="SOURCE|RECORD", help="Which versions saw this source, or this record, given as text.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Where a model version comes from, down to the bytes of its sources; or, with --from, where a source or a record went.

    Example: `stemma lineage sentiment@champion --check`
    """
    from flows.proof import evidence, exposure
    from flows.proof import lineage as lineages
    from flows.proof import page as lineage_page

    root: Path = context.obj
    if (reference is None) == (seen is None):
        raise UserError("lineage: give a model version or --from, one of the two; such as `stemma lineage sentiment@champion`")
    if seen is not None and not seen.strip():
        raise UserError("lineage: --from: nothing is asked for; name a source, or give a record as text")
    if seen is not None:
        found = exposure.exposure(root, seen, say)
        return print_json(found.to_json()) if as_json else _show_rows(("", f"of {found.asked}", "seen"), list(found.rows()))
    chain = lineages.lineage(root, reference or "")
    findings = evidence.check(root, chain, say) if check else []
    if page:
        lineage_page.write(page, chain, findings)
        say(f"{page}: written")
    if as_json:
        print_json(chain.to_json() | ({"check": [one.to_json() for one in findings]} if check else {}))
    else:
        _show_rows(("", "name", "hash", ""), list(chain.rows()))
        if check:
            _show_rows(("checked", "", ""), [(one.what, _coloured(one.state), one.detail) for one in findings])
    raise typer.Exit(int(any(one.state == "differs" for one in findings)))


def verify(
    context: typer.Context,
    references: Annotated[list[str], typer.Argument(metavar="REF...", help="Model versions; what one run made is rebuilt once.")],
    cached: Annotated[bool, typer.Option("--cached", help="Hash the stored bytes only; rebuild nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Rebuild registered versions from their run commit, with no cache, and compare every output byte by byte. Exit 0: all the same.

    Example: `stemma verify models:/sentiment/1`
    """
    from flows.proof import verify as verification

    verdicts = verification.verify(context.obj, references, cached, say)
    if as_json:
        print_json([verdict.to_json() for verdict in verdicts])
    else:
        for verdict in verdicts:
            stored = [(one.what, _coloured(one.state), one.detail) for one in verdict.stored]
            rebuilt = [(one.stage, _coloured(one.state), "\n".join([one.detail, *one.why])) for one in verdict.rebuilt]
            _show_rows((f"{verdict.model}: stored", "", ""), stored)
            if rebuilt:
                _show_rows((f"{verdict.model}: rebuilt", "", ""), rebuilt)
            typer.echo(verdict.summary())
    raise typer.Exit(int(not all(verdict.same for verdict in verdicts)))


def doctor(context: typer.Context, as_json: Json = False) -> None:
    """Find and mend what an accident has left, or explain it. Exit 0: nothing is left to you.

    Example: `stemma doctor`
    """
    from flows.repair import doctor as doctors

    with Console(stderr=True).status("looking, and hashing what registered versions need"):
        found = doctors.doctor(context.obj)
    if as_json:
        print_json([ailment.to_json() for ailment in found])
    elif found:
        rows = [(one.what, one.found, f"[green]{one.done}[/]" if one.done else f"[yellow]{one.todo}[/]") for one in found]
        _show_rows(("what", "found", "done, or to do"), rows)
    else:
        typer.echo("nothing is out of order")
    raise typer.Exit(int(any(one.todo for one in found)))


def _coloured(state: str) -> str:
    return f"[{COLOURS[state]}]{state}[/]"


def _show_rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table()
    for column in columns:
        table.add_column(column, no_wrap=column == "hash")
    for row in rows:
        table.add_row(*row)
    console.print(table)
