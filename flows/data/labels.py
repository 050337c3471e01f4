"""Class labels of a data version: another spelling or another scale makes a class that a model would learn apart."""

from collections import Counter
from pathlib import Path

from tasks import tables

SHOWN = 5

Labels = dict[str, Counter[str]]  # rows by label, by application


def of(data: Path) -> Labels:
    """How many rows of all splits have each label, for every application with a column `label`."""
    found: Labels = {}
    for file in sorted(data.glob("*/*.parquet")):
        if file.parent.name != "corpus" and "label" in tables.schema(file).names:
            found.setdefault(file.parent.name, Counter()).update(row["label"] for row in tables.rows(file, ["label"]))
    return found


def new(before: Labels, now: Labels) -> Labels:
    """The labels of `now` that an application had none of, where it had labels at all."""
    added = {
        name: Counter({label: rows for label, rows in now.get(name, {}).items() if label not in known}) for name, known in before.items()
    }
    return {name: labels for name, labels in added.items() if labels}


def lone(now: Labels) -> dict[str, str]:
    """The label of each application that has no other: a model of it can only ever say that one, and would be right each time."""
    return {name: next(iter(labels)) for name, labels in now.items() if len(labels) == 1}


def line(application: str, added: Counter[str]) -> str:
    """For people: the commonest of them."""
    shown = ", ".join(f"{label:.40} ({count:,} rows)" for label, count in added.most_common(SHOWN))
    more = f" and {len(added) - SHOWN:,} more" if len(added) > SHOWN else ""
    return f"{application}: {len(added):,} new labels, each a class of its own from now on: {shown}{more}"
