"""How the command line prints and asks: tables for people, one JSON document where it is asked for."""

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from model.errors import UserError

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]

console = Console()
if not console.is_terminal:
    console = Console(width=160)  # a table in a log is to be read too


def print_json(document: Any) -> None:
    """On stdout."""
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))


def say(line: str) -> None:
    """How far a long command is; on stderr."""
    sys.stderr.write(f"{line}\n")


def agreed(verb: str, question: str, yes: bool) -> bool:
    """Whether a person says yes, or has said so with --yes.

    Raises:
        UserError: there is nobody to ask.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UserError(f"{verb}: nobody to ask whether this is to be done; --yes does it")
    return typer.confirm(question, err=True)
