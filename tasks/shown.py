"""What of a stage's outputs MLflow shows: curves, numbers, and the files a person looks at."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

LOOKED_AT = {".json", ".jsonl", ".png", ".md", ".html"}  # Parquet and weights stay with DVC

Curves = dict[str, dict[int, float]]  # name -> step -> value


def curves(out: Path, metrics: Mapping[str, float]) -> Curves:
    """Every point of `out/history.jsonl`, and the stage's final numbers as curves of one point, which a curve's name does not cover."""
    history: Curves = {}
    file = out / "history.jsonl"
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        point = json.loads(line)
        step = point.pop("step")
        for name, value in point.items():
            history.setdefault(name, {})[step] = value
    return history | {f"final.{name}" if name in history else name: {0: value} for name, value in metrics.items()}


def files(out: Path) -> list[Path]:
    """Reports, plots and histories that lie directly in `out`."""
    return sorted(file for file in out.glob("*") if file.suffix in LOOKED_AT)


def is_base(out: Path) -> bool:
    """Whether `out` is a checkpoint that no registered model holds: a fine-tuned one (`application.json`) is logged once, as its model."""
    return (out / "model.safetensors").exists() and not (out / "application.json").exists()


def flat(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested numbers by dotted name."""
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)


def table(stages: Sequence[Mapping[str, Any]], links: Mapping[str, str]) -> str:
    """The outcome of each stage as Markdown, with a link to the run behind it where there is one."""
    lines = ["| stage | outcome | seconds | run |", "|---|---|---|---|"]
    for stage in stages:
        seconds = f"{stage['seconds']:.1f}" if stage.get("seconds") is not None else ""
        lines.append(f"| {stage['name']} | {stage['outcome']} | {seconds} | {links.get(stage['name'], '')} |")
    return "\n".join(lines) + "\n"
