"""A fine-tuned checkpoint, a test split and the baselines' predictions in; metrics and comparisons, by language too, and a plot out."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt, Lt

from model import applications
from model.applications import Application, Row
from model.params import STRICT, Decoding, Positive
from tasks import baseline, examples
from tasks.session import Session

if TYPE_CHECKING:
    import numpy as np

    from model.bootstrap import Interval

Predictions = Sequence[Mapping[str, Any]]

ENOUGH = 30  # rows, for a language to be judged by itself
SAMPLE = 2000  # characters of a row, to tell its language


@dataclass(frozen=True, kw_only=True)
class Params(Decoding):
    """How much is evaluated, how text is generated, and how the intervals are made."""

    __pydantic_config__ = STRICT

    max_examples: Positive  # of the test split, by the hash of the example
    batch_size: Positive
    resamples: Annotated[int, Ge(100)]  # of the bootstrap, and of the permutation test
    confidence: Annotated[float, Gt(0.5), Lt(1)]
    num_threads: Positive


@dataclass(frozen=True)
class Score:
    """How the model or a baseline did: sufficient statistics of each row, metrics with intervals, each metric on each resample."""

    statistics: "np.ndarray"
    metrics: "dict[str, Interval]"
    samples: "dict[str, np.ndarray]"


def run(checkpoint: Path, splits: Path, baselines: Path, out: Path, *, params: Params, session: Session, variant: str) -> dict[str, float]:
    """Evaluate `checkpoint` on `splits/test.parquet` beside the predictions in the file `baselines`.

    Write `evaluation.json`, `predictions.parquet` and `plot.png` to `out`.
    """
    from tasks.plots import draw

    application = applications.load(variant)
    rows = examples.by_hash(examples.read(splits / "test.parquet", application.SCHEMA), params.max_examples)
    predictions = predict(checkpoint, rows, params, session)
    guesses = baseline.read(baselines, rows)
    model, *others = scores(application, rows, [predictions, *guesses.values()], params)
    facts = report(application, variant, rows, model, dict(zip(guesses, others, strict=True)), params) | provenance(splits)
    facts["by_lang"] = by_language(application, rows, predictions, guesses, params)
    row_scores = [application.metrics(row)[application.METRIC] for row in model.statistics]

    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / "evaluation.json").write_text(json.dumps(facts, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    _write_predictions(out / "predictions.parquet", application, rows, predictions, row_scores)
    draw(out / "plot.png", facts, rows, predictions, row_scores)
    return _numbers(facts)


def predict(checkpoint: Path, rows: Sequence[Row], params: Params, session: Session) -> list[dict[str, Any]]:
    """What the model of `checkpoint` says to each row, a few batches at a time."""
    import torch

    from model.predictor import Predictor

    torch.set_num_threads(params.num_threads)
    predictor = Predictor(checkpoint)
    numbers = {field.name: getattr(params, field.name) for field in fields(Decoding)} | {"batch_size": params.batch_size}
    predictions: list[dict[str, Any]] = []
    for start in range(0, len(rows), 2 * params.batch_size):
        chunk = rows[start : start + 2 * params.batch_size]
        predictions += predictor.predict(chunk, numbers | {"seed": params.seed + start})
        session.progress(len(predictions), len(rows))
    return predictions


def scores(application: Application, rows: Sequence[Row], systems: Sequence[Predictions], params: Params) -> list[Score]:
    """Metrics of each system's predictions, with bootstrap intervals; resamples and the columns of statistics are alike for all."""
    from model.bootstrap import intervals, resampled

    told = [prediction for predictions in systems for prediction in predictions]
    statistics = application.statistics([*rows] * len(systems), told).reshape(len(systems), len(rows), -1)
    samples = [resampled(one, application.metrics, params.resamples, params.seed) for one in statistics]
    return [
        Score(one, intervals(one, application.metrics, sample, params.confidence), sample)
        for one, sample in zip(statistics, samples, strict=True)
    ]


def provenance(splits: Path) -> dict[str, Any]:
    """Whether the rows are of our own making (`synthetic`), and their sources, as the stage prepare knows it."""
    file = splits / "sources.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return {"synthetic": bool(known.get("synthetic", False)), "sources": known.get("sources", [])}


def report(
    application: Application, variant: str, rows: Sequence[Row], model: Score, baselines: Mapping[str, Score], params: Params
) -> dict[str, Any]:
    """How the model did beside its baselines; it beats one if the difference is positive and its p value below 1 - confidence."""
    from model.bootstrap import difference, p_value

    metric = application.METRIC
    comparisons = {}
    for name, other in baselines.items():
        value = model.metrics[metric].value - other.metrics[metric].value
        low, high = difference(model.samples[metric], other.samples[metric], params.confidence)
        p = p_value(model.statistics, other.statistics, lambda total: application.metrics(total)[metric], params.resamples, params.seed)
        beats = value > 0 and p < 1 - params.confidence
        comparisons[name] = {"difference": value, "low": low, "high": high, "p_value": p, "beats": beats}
    strongest = max(baselines, key=lambda name: baselines[name].metrics[metric].value)
    lines = "".join(examples.canonical(row) + "\n" for row in rows)
    return {
        "application": variant,
        "num_examples": len(rows),
        "evaluation_hash": hashlib.sha256(lines.encode()).hexdigest(),
        "metric": metric,
        "metrics": {name: asdict(interval) for name, interval in model.metrics.items()},
        "baseline": {name: {key: asdict(interval) for key, interval in score.metrics.items()} for name, score in baselines.items()},
        "comparison": comparisons,
        "strongest_baseline": strongest,
        "beats_baseline": comparisons[strongest]["beats"],
        "p_value": comparisons[strongest]["p_value"],
        "confidence": params.confidence,
        "resamples": params.resamples,
    }


def by_language(
    application: Application, rows: Sequence[Row], predictions: Predictions, guesses: Mapping[str, Predictions], params: Params
) -> dict[str, Any]:
    """Of each language with enough rows, how the model did there beside its baselines; nothing where there are not two such languages."""
    from tasks.cleaning.languages import identify

    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(identify(application.split_key(row), SAMPLE)[0], []).append(place)
    judged = {lang: own for lang, own in sorted(places.items()) if len(own) >= ENOUGH}
    parts: dict[str, Any] = {}
    for lang, own in judged.items() if len(judged) > 1 else ():
        chosen = [rows[place] for place in own]
        systems = [[system[place] for place in own] for system in (predictions, *guesses.values())]
        model, *others = scores(application, chosen, systems, params)
        told = report(application, lang, chosen, model, dict(zip(guesses, others, strict=True)), params)
        parts[lang] = {key: told[key] for key in ("num_examples", "metrics", "baseline", "comparison")}
    return parts


def _write_predictions(
    file: Path, application: Application, rows: Sequence[Row], predictions: Predictions, scores: Sequence[float]
) -> None:
    """The rows, what was `predicted_...` for each, and its `score`: the metric on that row alone."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist(list(rows), schema=application.SCHEMA)
    for name in predictions[0]:
        table = table.append_column(f"predicted_{name}", pa.array([prediction[name] for prediction in predictions]))
    pq.write_table(table.append_column("score", pa.array(scores, pa.float64())), file, compression="zstd")


def _numbers(report: Mapping[str, Any]) -> dict[str, float]:
    metric, strongest = report["metric"], report["strongest_baseline"]
    numbers = {"num_examples": report["num_examples"], "p_value": report["p_value"], "beats_baseline": float(report["beats_baseline"])}
    for name, interval in report["metrics"].items():
        numbers |= {name: interval["value"], f"{name}_low": interval["low"], f"{name}_high": interval["high"]}
    return numbers | {f"baseline_{metric}": report["baseline"][strongest][metric]["value"]}
