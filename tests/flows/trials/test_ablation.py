"""The table of `stemma ablate`, from losses; a variant's numbers are checked before anything is trained."""

from pathlib import Path
from typing import Any

import pytest
from scipy.stats import ttest_1samp

from flows.trials import ablation, lanes, variants
from flows.trials.ablation import Ablation, Row, interval
from model.errors import UserError
from tasks import params

PROJECT = Path(__file__).parents[3]
SECTIONS: dict[str, Any] = params.read(PROJECT / "params.yaml")


@pytest.mark.parametrize("name", variants.declared(SECTIONS))
def test_every_shipped_variant_suits_sentiment(name: str) -> None:
    values = variants.assigned(variants.declared(SECTIONS)[name], "finetune.sentiment")
    assert ablation._refused(PROJECT, SECTIONS, name, values) == ""


def test_a_variant_that_an_application_cannot_have_says_why_and_a_misspelt_one_is_an_error() -> None:
    refused = ablation._refused(PROJECT, SECTIONS, "odd", {"finetune.srl.dropout": 2.0})
    assert "finetune.srl.dropout" in refused
    with pytest.raises(UserError, match=r"^params.yaml: ablate.odd: finetune.srl has no number called dropuot; there is .*dropout"):
        ablation._refused(PROJECT, SECTIONS, "odd", {"finetune.srl.dropuot": 0.1})


@pytest.mark.parametrize("wrong", [{}, {"a": 3}, {"a": {}}, {"a": {"finetune": {"sentiment": {"dropout": 0}}}}])
def test_what_is_no_variant_is_one_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"^params.yaml: ablate"):
        variants.declared({"ablate": wrong})


def test_the_interval_is_students_and_there_is_none_of_one_seed() -> None:
    differences = [0.03, -0.01, 0.02, 0.05]
    expected = ttest_1samp(differences, 0).confidence_interval(0.95)
    assert interval(differences, 0.95) == pytest.approx((expected.low, expected.high))
    assert interval([0.1], 0.95) == (None, None)


def test_differences_are_between_trainings_with_the_same_seed() -> None:
    present = {1: 0.5, 2: 0.7}
    row = ablation._row("no dropout", {"finetune.sentiment.dropout": 0.0}, {2: 0.8, 1: 0.6}, present, 0.95)
    assert (row.losses, row.loss, row.difference) == ([0.6, 0.8], pytest.approx(0.7), pytest.approx(0.1))
    assert row.low == pytest.approx(0.1)
    failed = ablation._row("odd", {}, {1: lanes.TrialFailed("the loss is not finite"), 2: 0.7}, present, 0.95)
    assert (failed.loss, failed.reason) == (None, "the loss is not finite")


def test_the_markdown_table_has_a_line_for_each_variant() -> None:
    rows = [Row(ablation.PRESENT, {}, [0.5], 0.5, 0.0), Row("no dropout", {"finetune.sentiment.dropout": 0.0}, [0.6], 0.6, 0.1)]
    assert Ablation("sentiment", [1], 0.95, rows).markdown().splitlines() == [
        "| variant | numbers | validation loss | difference | 95% interval |",
        "| --- | --- | --- | --- | --- |",
        "| as it is |  | 0.5000 |  |  |",
        "| no dropout | dropout 0.0 | 0.6000 | +0.1000 |  |",
    ]
