"""Pictures of an evaluation: the same numbers give the same bytes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.applications import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MODEL, BASELINES = "#1f5a8c", ("#9aa5ad", "#c4b08b", "#b59aa8")


def draw(
    file: Path, report: Mapping[str, Any], rows: Sequence[Row], predictions: Sequence[Mapping[str, Any]], scores: Sequence[float]
) -> None:
    """The model's metrics beside its baselines', and its confusion matrix or the spread of its scores."""

    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    synthetic = ", synthetic data" if report["synthetic"] else ""
    figure.suptitle(f"{report['application']}: {report['num_examples']} test examples{synthetic}")
    _bars(left, report)
    if "label" in rows[0]:
        _confusion(right, [row["label"] for row in rows], [prediction["label"] for prediction in predictions])
    else:
        _spread(right, report["metric"], scores)
    figure.savefig(file, metadata={"Software": None})


def _bars(axes: "Axes", report: Mapping[str, Any]) -> None:
    """One group a metric, one bar the model and each baseline, a line from low to high."""
    systems = {"model": report["metrics"], **report["baseline"]}
    width = 0.8 / len(systems)
    for index, (system, metrics) in enumerate(systems.items()):
        places = [group + (index - (len(systems) - 1) / 2) * width for group in range(len(metrics))]
        values = [interval["value"] for interval in metrics.values()]
        low = [max(interval["value"] - interval["low"], 0) for interval in metrics.values()]
        high = [max(interval["high"] - interval["value"], 0) for interval in metrics.values()]
        color = MODEL if system == "model" else BASELINES[(index - 1) % len(BASELINES)]
        axes.bar(places, values, 0.92 * width, yerr=[low, high], color=color, ecolor="#333333", capsize=3, label=system)
    axes.set_xticks(range(len(report["metrics"])), [name.replace("_", " ") for name in report["metrics"]])
    axes.set_ylabel(f"value and {report['confidence']:.0%} interval")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(systems))


def _confusion(axes: "Axes", true: Sequence[str], told: Sequence[str]) -> None:
    labels = sorted({*true, *told})
    counts = Counter(zip(true, told, strict=True))
    matrix = [[counts[row, column] for column in labels] for row in labels]
    most = max(max(row) for row in matrix)
    axes.imshow(matrix, cmap="Blues", vmin=0)
    for y, row in enumerate(matrix):
        for x, count in enumerate(row):
            axes.text(x, y, str(count), ha="center", va="center", color="white" if count > most / 2 else "black")
    names = [_printable(label, index) for index, label in enumerate(labels, 1)]
    axes.set_xticks(range(len(labels)), names, rotation=30 if len(labels) > 3 else 0)
    axes.set_yticks(range(len(labels)), names)
    axes.set(xlabel="predicted", ylabel="true", title="confusion")


def _spread(axes: "Axes", metric: str, scores: Sequence[float]) -> None:
    top = 100 if max(scores, default=0) > 1 else 1
    axes.hist(scores, bins=20, range=(0, top), color=MODEL)
    axes.set(xlabel=f"{metric.replace('_', ' ')} of one example", ylabel="examples", title="spread")
    axes.spines[["top", "right"]].set_visible(False)


def _printable(label: str, index: int) -> str:
    """The default font has Latin, Greek and Cyrillic letters only."""
    return label if all(ord(character) < 0x500 for character in label) else f"label {index}"
