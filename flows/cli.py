"""`stemma ...`: parses, calls, prints; no logic."""

import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from flows import environment, room
from flows.commands import ingest as cli_ingest
from flows.commands import proof as cli_proof
from flows.commands import trials as cli_trials
from flows.commands import versions as cli_versions
from flows.commands import yardsticks as cli_yardsticks
from flows.commands.printing import Json, agreed, console, print_json, say
from model.errors import UserError
from model.params import Decoding

app = typer.Typer(
    help="From text to registered language models: reproducible, cached, traceable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.add_typer(cli_versions.data, name="data")
for verb in (
    cli_ingest.ingest,
    cli_versions.rollback,
    cli_proof.lineage,
    cli_proof.verify,
    cli_proof.doctor,
    cli_yardsticks.yardsticks,
    cli_trials.tune,
    cli_trials.ablate,
):
    app.command()(verb)

Set = Annotated[
    list[str] | None, typer.Option("-S", "--set", metavar="KEY=VALUE", help="A number of params.yaml, such as finetune.qa.max_steps=50.")
]
Profile = Annotated[str | None, typer.Option(help="Numbers from profiles/NAME.yaml: nano, base, pretrained or gpu.")]

STOPPED = 128 + signal.SIGINT


def main(root: Path) -> None:
    """Run the command line on the project at `root`; a UserError, or what the disk refuses, is one line on stderr and exit code 1."""
    environment.quiet(root)
    try:
        environment.record(root)
        app(obj=root, prog_name="stemma")
    except UserError as error:
        typer.echo(str(error).replace("\n", "\\n"), err=True)
        sys.exit(1)
    except room.MET as error:
        if (line := room.told(root, error)) is None:
            raise
        typer.echo(line, err=True)
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit) as ended:  # Typer makes the latter of the former
        code = ended.code if isinstance(ended, SystemExit) else STOPPED
        if code == STOPPED:
            typer.echo("stopped; nothing is lost, and the same command again goes on", err=True)
        sys.exit(code)


@app.command()
def plan(context: typer.Context, assignments: Set = None, profile: Profile = None, as_json: Json = False) -> None:
    """What would run, and exactly why. Nothing is executed or written.

    Example: `stemma plan -S finetune.sentiment.max_steps=50`
    """
    from flows import plan as planning
    from flows import settings
    from flows.data import forgetting

    root: Path = context.obj
    stages = planning.plan(root, settings.preview(root, assignments, profile))
    if forgetting.outstanding(root):
        say("data/ is of before records were forgotten: a run takes them out first, and more stages than these may follow")
    if as_json:
        return print_json({"stages": [stage.to_json() for stage in stages]})
    table = Table("stage", "state", "why", "expected seconds")
    for stage in stages:
        seconds = "" if stage.seconds is None or stage.state == "fresh" else f"{stage.seconds:.0f}"
        table.add_row(stage.name, _coloured(stage.state), "\n".join(stage.reasons), seconds)
    console.print(table)
    return console.print(planning.summary(stages), highlight=False)


@app.command()
def run(
    context: typer.Context,
    only: Annotated[list[str] | None, typer.Option(help="This stage, and what it needs; may be given several times.")] = None,
    force: Annotated[list[str] | None, typer.Option(help="Run this stage even if nothing it depends on has changed.")] = None,
    rev: Annotated[str | None, typer.Option(help="This commit, in a checkout of its own; the work tree stays as it is.")] = None,
    assignments: Set = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """One lifecycle: every stage that is not up to date, then the registry.

    Example: `stemma run -S finetune.sentiment.max_steps=50`, or `stemma run --rev HEAD` beside another run
    """
    from flows import running, settings
    from flows.history import revision, rollback

    root: Path = context.obj
    if rev is not None:
        given: dict[str, Sequence[str | None]] = {
            "--only": only or [],
            "--force": force or [],
            "--set": assignments or [],
            "--profile": [profile],
        }
        words = [word for option, values in given.items() for value in values if value is not None for word in (option, value)]
        raise typer.Exit(revision.run(root, rev, [*words, "--json"] if as_json else words))
    rollback.complete(root, lambda line: typer.echo(line, err=True))  # it writes params.yaml too
    running.check(root, [*(only or []), *(force or [])], settings.preview(root, assignments, profile))
    write = partial(settings.write, root, assignments, profile) if assignments or profile is not None else None
    result = running.run(root, only or [], force or [], write)
    if as_json:
        print_json(result.to_json())
    else:
        _show_outcomes(result.stages)
        if result.models:
            _show_models(result.models)
        typer.echo(f"run commit {result.run_commit[:10]}" if result.run_commit else "stopped")
    raise typer.Exit(result.exit_code)


@app.command()
def up(
    context: typer.Context,
    mlflow_port: Annotated[int, typer.Option(help="Port of the MLflow UI.")] = 5000,
    prefect_port: Annotated[int, typer.Option(help="Port of the Prefect server.")] = 4200,
) -> None:
    """Start the MLflow UI, the Prefect server and the schedule's runner on loopback.

    Example: `stemma up`
    """
    from flows.services import servers as services

    services.up(context.obj, mlflow_port=mlflow_port, prefect_port=prefect_port)
    _show_status(services.status(context.obj))


@app.command()
def down(context: typer.Context) -> None:
    """Stop exactly what `up` started; not under a run at work.

    Example: `stemma down`
    """
    from flows.services import servers as services

    services.down(context.obj)
    typer.echo("stopped")


@app.command()
def status(context: typer.Context, as_json: Json = False) -> None:
    """The services, where they answer, the schedule, and how its last run ended.

    Example: `stemma status --json`
    """
    from flows.services import servers as services

    found = services.status(context.obj)
    return print_json(found) if as_json else _show_status(found)


@app.command()
def schedule(
    context: typer.Context,
    cron: Annotated[str | None, typer.Argument(help='When, as cron says it: "0 2 * * *".')] = None,
    every: Annotated[str | None, typer.Option(help="Instead of cron: an interval, such as 15s, 30m or 6h.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Of the cron line, such as Asia/Shanghai.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the schedule away.")] = False,
) -> None:
    """Run the lifecycle on a schedule; needs `stemma up` or a PREFECT_API_URL.

    Example: `stemma schedule "0 2 * * *" --timezone Europe/Berlin`
    """
    from flows.services import schedule as schedules

    typer.echo(schedules.schedule(context.obj, cron=cron, every=every, timezone=timezone, remove=remove))


@app.command()
def push(context: typer.Context) -> None:
    """Bring runs and all they need to git's `origin` and DVC's remote, for colleagues.

    Example: `dvc remote add --local --default store /mnt/store`, then `stemma push`
    """
    from flows.history import team

    typer.echo(f"pushed {team.push(context.obj)}")


@app.command()
def pull(context: typer.Context) -> None:
    """Fetch colleagues' runs and all they need; `stemma run` then restores what they ran.

    Example: `stemma pull`
    """
    from flows.history import team

    typer.echo(f"pulled {team.pull(context.obj)}")


@app.command()
def gc(context: typer.Context, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Free what no branch, tag, run or registered version needs in the DVC cache; says how much first.

    Example: `stemma gc`
    """
    from flows.history import gc as collection

    found = collection.waste(context.obj)
    typer.echo(str(found))
    if found.objects and not agreed("gc", "Free them?", yes):
        typer.echo("nothing was freed")
    elif found.objects:
        typer.echo(f"freed {collection.free(context.obj, lambda line: typer.echo(line, err=True)).size / 1e6:,.1f} MB")


@app.command()
def models(
    context: typer.Context,
    history: Annotated[str | None, typer.Option(metavar="NAME", help="Of this model: who moved which alias when, and why.")] = None,
    as_json: Json = False,
) -> None:
    """The registered models, their versions and aliases.

    Example: `stemma models`, or `stemma models --history sentiment`
    """
    from flows import predict as predictions

    if history is not None:
        return cli_versions.show_history(context.obj, history, as_json)
    found = predictions.models(context.obj)
    return print_json(found) if as_json else _show_models(found)


Strategy = Annotated[str | None, typer.Option(help="greedy, beam, temperature, top-k, top-p or min-p.")]
MaxNewTokens = Annotated[int | None, typer.Option(min=1, help="At most this many tokens.")]
NumBeams = Annotated[int | None, typer.Option(min=1, help="For beam.")]
Temperature = Annotated[float | None, typer.Option(min=0.01, help="For all strategies that draw; below 1 is safer.")]
TopK = Annotated[int | None, typer.Option(min=0, help="Draw among this many of the likeliest tokens.")]
TopP = Annotated[float | None, typer.Option(min=0, max=1, help="Draw among the likeliest tokens that have this share together.")]
MinP = Annotated[float | None, typer.Option(min=0, max=1, help="Draw among tokens at least this likely, relative to the likeliest.")]
Seed = Annotated[int | None, typer.Option(min=0, help="The same seed draws the same tokens.")]


@app.command()
def predict(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A registered model, sentiment, or a version of it: sentiment/1, sentiment@challenger.")],
    texts: Annotated[
        list[str] | None, typer.Argument(help="Inputs, one an argument; column=value or JSON where an input has several columns.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Inputs from a .txt, .jsonl, .csv or .parquet file instead.")] = None,
    column: cli_ingest.Column = None,
    output: Annotated[str, typer.Option("--format", help="table or jsonl.")] = "table",
    version: Annotated[str | None, typer.Option(help="An alias or a version number; champion, if MODEL names none.")] = None,
    strategy: Strategy = None,
    max_new_tokens: MaxNewTokens = None,
    num_beams: NumBeams = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    seed: Seed = None,
) -> None:
    """Use a registered model.

    Example: `stemma predict sentiment "What a film!" "这家酒店很好"`
    """
    from flows import predict as predictions
    from flows.data import additions

    if output not in ("table", "jsonl"):
        raise UserError(f"--format {output}: no such format; there is table and jsonl")
    decoding, columns = _given(locals(), Decoding), additions.columns(column or [])
    application, version = predictions.named(model, version)
    with Console(stderr=True).status(f"{application}@{version}: loading and predicting"):
        rows = predictions.predict(context.obj, application, texts or [], file, version, decoding, columns)
    if output == "jsonl":
        for row in rows:
            typer.echo(json.dumps(row, ensure_ascii=False))
        return
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    console.print(table)


@app.command()
def generate(
    context: typer.Context,
    base: Annotated[str, typer.Argument(help="A pretrained decoder, by its key in params.yaml.")],
    prompt: Annotated[str, typer.Argument(help="The text to go on from.")],
    strategy: Strategy = None,
    max_new_tokens: MaxNewTokens = None,
    num_beams: NumBeams = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    seed: Seed = None,
) -> None:
    """Let a base write on, token by token; what is not given is as in section `evaluate` of params.yaml.

    Example: `stemma generate decoder "The state of the Union" --strategy top-p --top-p 0.9`
    """
    from flows import predict as predictions

    pieces = predictions.generate(context.obj, base, prompt, _given(locals(), Decoding))
    typer.echo(prompt, nl=False)
    for piece in pieces:
        typer.echo(piece, nl=False)
    typer.echo()


def _given(arguments: dict[str, Any], kind: type) -> dict[str, Any]:
    """The options that were given, of those that are fields of `kind`."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in arguments.items() if name in names and value is not None}


def _coloured(word: str) -> str:
    colours = {
        "fresh": "green",
        "unchanged": "green",
        "ran": "cyan",
        "restored": "blue",
        "restorable": "blue",
        "stale": "yellow",
        "failed": "red",
    }
    return f"[{colours.get(word, 'white')}]{word}[/]"


def _show_outcomes(stages: Sequence[dict[str, Any]]) -> None:
    table = Table("stage", "outcome", "why", "seconds")
    for stage in stages:
        table.add_row(stage["name"], _coloured(stage["outcome"]), "\n".join(stage["reasons"]), f"{stage['seconds']:.1f}")
    console.print(table)


def _show_models(found: Sequence[dict[str, Any]]) -> None:
    if not found:
        return typer.echo("no model is registered yet; `stemma run` makes and registers them")
    table = Table("model", "version", "alias", "metric", "value", "interval", "baseline", "verdict")
    for model in found:
        said = model["verdict"]
        baselines = said["baselines"]
        table.add_row(
            model["name"] + (" (synthetic data)" if said["synthetic"] else ""),
            str(model["version"]),
            ", ".join(model["aliases"]),
            said["metric"],
            f"{said['value']:.3f}",
            f"{said['low']:.3f} to {said['high']:.3f}",
            "\n".join(f"{name} {baseline['value']:.3f}" for name, baseline in baselines.items()),
            "\n".join(f"{_beaten(baseline['beaten'])} (p = {baseline['p_value']:.3f})" for baseline in baselines.values()),
        )
    return console.print(table)


def _beaten(yes: bool) -> str:
    return "[green]beats it[/]" if yes else "[yellow]does not beat it[/]"


def _show_status(found: dict[str, Any]) -> None:
    table = Table("service", "state", "address")
    for name, service in found["services"].items():
        table.add_row(name, service["state"], service["url"] or "")
    console.print(table)
    when = found["schedule"]
    told = ", ".join(f"{key} {value}" for key, value in when.items()) if when else "none"
    coming = f"; next: {', '.join(found['next_runs'])}" if found["next_runs"] else ""
    typer.echo(f"schedule: {told}{coming}")
    if last := found["last_run"]:
        typer.echo(f"last scheduled run: {last['time']}, {last['state']}{': ' + last['message'] if last['message'] else ''}")
    typer.echo(f"tracking: {found['tracking_uri']}")
