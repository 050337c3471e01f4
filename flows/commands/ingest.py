"""`stemma ingest`: parses, calls, prints."""

from pathlib import Path
from typing import Annotated

import typer

from model.errors import UserError

Given = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SRC]...", help="Files, folders, globs, an archive, an address, hf:OWNER/NAME; without --to names of sources."),
]
To = Annotated[
    str | None, typer.Option(metavar="corpus|APPLICATION|pretrained", help="What SRC is for; it is then taken in as a new source.")
]
Column = Annotated[list[str] | None, typer.Option(metavar="COLUMN=FIELD", help="The field of the file that is this column.")]
Reader = Annotated[str | None, typer.Option(help="How to read it; chosen by its content if not given. See docs/ingest.md.")]
Option = Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="An option of the reader, such as encoding=gb18030.")]


def ingest(
    context: typer.Context,
    given: Given = None,
    to: To = None,
    column: Column = None,
    reader: Reader = None,
    option: Option = None,
    name: Annotated[str | None, typer.Option(help="Of the source in sources.yaml; else after its file.")] = None,
    license: Annotated[str, typer.Option(help="Of the texts.")] = "unknown",
    lang: Annotated[str | None, typer.Option(help="Of the texts, such as zh; of a translation both, such as en:zh.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Instead of what --to has so far: its other sources become optional.")] = False,
    forget: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Erase the records that FILE lists, one a line; see docs/ingest.md."),
    ] = None,
    no_commit: Annotated[bool, typer.Option("--no-commit", help="Leave the commit of what has changed to you.")] = False,
) -> None:
    """Take data in as a new data version: SRC with --to, or the sources that sources.yaml lists.

    Example: `stemma ingest reviews.csv --to sentiment --column text=review`
    """
    from flows.data import additions
    from flows.data import ingest as ingestion
    from flows.history import rollback

    root: Path = context.obj
    rollback.complete(root, ingestion.to_stderr)
    if forget:
        from flows.data import forgetting

        return typer.echo(forgetting.forget(root, forget, commit=not no_commit).summary())
    if to is None:
        if column or reader or option or name or lang or replace:
            raise UserError("stemma ingest: options for a new source, but no --to; say --to corpus, --to APPLICATION or --to pretrained")
        return typer.echo(ingestion.ingest(root, given or []).summary())
    wish = additions.Wish(
        target=to,
        reader=reader,
        columns=additions.columns(column or []),
        options=additions.options(option or []),
        name=name,
        license=license,
        lang=lang,
        replace=replace,
    )
    return typer.echo(additions.add(root, given or [], wish, commit=not no_commit).summary())
