"""How the command line prints: tables for people, one JSON document where it is asked for."""

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

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
