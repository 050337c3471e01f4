"""Whether a new version of a model becomes its champion."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from model.applications import Application


@dataclass(frozen=True)
class Score:
    """The value of the main metric on an evaluation set, which its hash names."""

    value: float
    evaluation: str


@dataclass(frozen=True)
class Decision:
    """The alias of a new version, why in words, and the numbers behind it."""

    alias: Literal["champion", "challenger"]
    text: str
    evidence: dict[str, Any]


def decide(metric: str, new: Score, champion: int | None, known: Score | None, again: Score | None) -> Decision:
    """Champion unless the present champion (a version) does better on the evaluation set of the new one.

    `known` is the champion's score when it was registered; `again` its score on the new set, needed where that is another set.
    """
    evidence = {
        "metric": metric,
        "new": asdict(new),
        "champion": champion,
        "champion_when_registered": known and asdict(known),
        "champion_on_this_set": again and asdict(again),
    }
    if champion is None:
        return Decision("champion", f"champion: the first version; {metric} {new.value:.4f}", evidence)
    compared = again or known
    if compared is None or compared.evaluation != new.evaluation:
        text = f"challenger: version {champion} was never evaluated on this evaluation set, so {metric} {new.value:.4f} proves nothing"
        return Decision("challenger", text, evidence)
    where = "the new evaluation set, on which it was evaluated again" if again else "the same evaluation set"
    other = f"{compared.value:.4f} of version {champion} on {where}"
    if new.value >= compared.value:
        return Decision("champion", f"champion: {metric} {new.value:.4f} is not below {other}", evidence)
    return Decision("challenger", f"challenger: {metric} {new.value:.4f} is below {other}", evidence)


def verdict(judged: Mapping[str, Any]) -> dict[str, Any]:
    """What people want to know of an `evaluation.json`: the main metric with its interval, beside every baseline."""
    metric = judged["metric"]
    return {
        "metric": metric,
        **judged["metrics"][metric],
        "baselines": {
            name: {"value": scores[metric]["value"], "beaten": told["beats"], "p_value": told["p_value"]}
            for name, scores in judged["baseline"].items()
            for told in [judged["comparison"][name]]
        },
        **{key: judged[key] for key in ("beats_baseline", "num_examples", "synthetic")},
    }


def score(model: Any, application: Application, evaluation: Path) -> float:
    """The main metric of a registered model on the examples of another model's evaluation."""
    import pyarrow.parquet as pq
    from pandas import DataFrame

    rows = pq.read_table(evaluation / "predictions.parquet", columns=application.SCHEMA.names).to_pylist()
    predicted = DataFrame(model.predict(DataFrame([{name: row[name] for name in application.INPUTS} for row in rows])))
    statistics = application.statistics(rows, predicted.to_dict("records"))
    return application.metrics(statistics.sum(axis=0))[application.METRIC]
