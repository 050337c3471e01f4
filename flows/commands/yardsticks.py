"""`stemma yardsticks`: parse, call, print."""

import typer
from rich.table import Table

from flows.commands.printing import Json, console, print_json


def yardsticks(context: typer.Context, as_json: Json = False) -> None:
    """Every base and model beside the simple methods it has to beat, in pairs on the same texts; what fails is shown as failing.

    Example: `stemma yardsticks`
    """
    from flows import yardsticks as measured

    found = measured.comparisons(context.obj)
    if as_json:
        print_json([comparison.to_json() for comparison in found])
        return
    table = Table("", "on", "metric", "value", "yardstick", "its value", "difference and its interval", "p", "verdict")
    for one in found:
        table.add_row(
            one.name + (" (synthetic data)" if one.synthetic else ""),
            f"{one.on} ({one.count})",
            one.metric,
            f"{one.value:.3f}",
            one.yardstick,
            f"{one.other:.3f}",
            f"{one.difference:+.3f} ({one.low:+.3f} to {one.high:+.3f})",
            f"{one.p_value:.3f}",
            "[green]beats it[/]" if one.beats else "[yellow]does not beat it[/]",
        )
    console.print(table)
    for name, reason in dict.fromkeys((one.name, one.reason) for one in found if not one.beats):
        console.print(f"{name}: {reason}", highlight=False)
