"""`stemma ablate` on a stage of two seconds, in checkouts of a real repository."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.trials import ablation
from model.errors import UserError

from .conftest import DVC_YAML, PARAMS_YAML

pytestmark = [pytest.mark.e2e, pytest.mark.slow]  # checkouts of a real DVC and git repository

Ran = Callable[[], Counter[str]]
STAGE = """
  finetune:
    foreach: ${finetune}
    do:
      cmd: sh learn.sh ${item.x}
      deps: [build/base, learn.sh]
      params: [training, finetuning, "finetune.${key}"]
      outs: [build/learn]
      metrics: [build/learn.json]
"""
SECTIONS = """
training: {seed: 1}
finetuning: {}
finetune:
  reviews: {x: 5.0}
evaluate: {confidence: 0.95}
ablate:
  better: {x: 4.0}
  worse: {x: 6.0}
  diverging: {x: 0.5}
"""


@pytest.fixture
def reviews(learning: Path) -> Path:
    (learning / "dvc.yaml").write_text(DVC_YAML[: DVC_YAML.index("  learn:")] + STAGE.lstrip("\n"))
    tune = PARAMS_YAML[PARAMS_YAML.index("learn:") :]
    (learning / "params.yaml").write_text(PARAMS_YAML.replace(tune, "") + SECTIONS.lstrip("\n"))
    return learning


def test_each_variant_is_trained_once_a_seed_and_compared_and_one_that_fails_says_why(reviews: Path, ran: Ran) -> None:
    (reviews / "dvc.yaml").write_text((reviews / "dvc.yaml").read_text() + "  judged: {cmd: 'true', deps: [data], params: [evaluate]}\n")
    found = ablation.ablate(reviews, "reviews", 2, lambda line: None)
    assert found.seeds == [1, 2]
    present, better, worse, diverging = found.rows
    assert (present.losses, better.losses, worse.losses) == ([4.0, 4.0], [1.0, 1.0], [9.0, 9.0])
    assert (better.difference, better.low, better.high) == (-3.0, -3.0, -3.0)
    assert diverging.reason.endswith("exit code 1: the loss is not finite")
    before = ran()
    assert (before["base"], before["ended 5.0"], before["ended 4.0"]) == (1, 2, 2)
    again = ablation.ablate(reviews, "reviews", 2, lambda line: None)
    assert again.rows[:3] == found.rows[:3]
    assert ran()["ended 5.0"] == 2  # restored
    with pytest.raises(UserError, match=r"poetry: no such application in params\.yaml; there is reviews"):
        ablation.ablate(reviews, "poetry", 1, lambda line: None)
    with pytest.raises(UserError, match="--seeds 0: nothing to train; give at least 1"):
        ablation.ablate(reviews, "reviews", 0, lambda line: None)
