"""The table of all comparisons, from what stages leave in build/."""

import json
from pathlib import Path

import pytest

from flows import yardsticks
from model.errors import UserError

BEATEN = {"difference": 0.2, "low": 0.1, "high": 0.3, "p_value": 0.001, "beats": True}


def write(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")


def evaluated(root: Path, by_lang: dict[str, object] | None = None, application: str = "sentiment", **comparison: object) -> None:
    scores = {"accuracy": {"value": 0.6, "low": 0.5, "high": 0.7}}
    report = {
        "application": application,
        "metric": "accuracy",
        "metrics": scores,
        "num_examples": 300,
        "baseline": {"majority": {"accuracy": {"value": 0.4}}},
        "comparison": {"majority": BEATEN | comparison},
        "synthetic": False,
        "by_lang": by_lang or {},
    }
    write(root / "build/evaluate/sentiment/evaluation.json", report)
    write(root / "build/metrics/finetune@sentiment.json", {"num_steps": 350, "num_parameters": 1_200_000})


def test_what_beats_its_yardstick_needs_no_reason_and_what_does_not_has_one(tmp_path: Path) -> None:
    evaluated(tmp_path)
    [one] = yardsticks.comparisons(tmp_path)
    assert (one.name, one.value, one.yardstick, one.other, one.beats, one.reason) == ("sentiment", 0.6, "majority", 0.4, True, "")
    evaluated(tmp_path, difference=-0.1, p_value=1.0, beats=False)
    write(tmp_path / ".stemma/seconds.jsonl", {"stage": "finetune@sentiment", "seconds": 58.4})
    assert yardsticks.comparisons(tmp_path)[0].reason == "not better after 350 steps in 58 s, with 1.2 M parameters"
    evaluated(tmp_path, difference=0.01, p_value=0.3, beats=False)
    reason = "better, but on 300 examples that may be chance; 350 steps in 58 s, with 1.2 M parameters"
    assert yardsticks.comparisons(tmp_path)[0].reason == reason


def test_a_training_without_numbers_and_an_evaluation_of_an_earlier_version_are_no_traceback(tmp_path: Path) -> None:
    evaluated(tmp_path, difference=-0.1, p_value=1.0, beats=False)
    (tmp_path / "build/metrics/finetune@sentiment.json").unlink()
    reason = "not better after finetune@sentiment, which has no numbers now; `stemma run` completes it"
    assert yardsticks.comparisons(tmp_path)[0].reason == reason
    file = tmp_path / "build/evaluate/sentiment/evaluation.json"
    file.write_text(file.read_text(encoding="utf-8").replace(', "by_lang": {}', ""), encoding="utf-8")
    with pytest.raises(UserError, match=r"build/evaluate/sentiment/evaluation.json: of an earlier version; `stemma run`"):
        yardsticks.comparisons(tmp_path)


def test_an_application_is_compared_in_each_language_too(tmp_path: Path) -> None:
    part = {
        "num_examples": 40,
        "metrics": {"accuracy": {"value": 0.8}},
        "baseline": {"majority": {"accuracy": {"value": 0.5}}},
        "comparison": {"majority": BEATEN},
    }
    evaluated(tmp_path, by_lang={"en": part})
    found = [(one.on, one.count, one.value, one.other) for one in yardsticks.comparisons(tmp_path)]
    assert found == [("all", 300, 0.6, 0.4), ("en", 40, 0.8, 0.5)]
    evaluated(tmp_path, by_lang={"en": part}, application="translation")  # whose rows are of two
    assert [one.on for one in yardsticks.comparisons(tmp_path)] == ["all"]


def test_a_base_is_compared_as_a_whole_and_by_language_and_source_and_less_loss_is_better(tmp_path: Path) -> None:
    worse = {"value": 1.6, "comparison": {"difference": 0.3, "low": 0.2, "high": 0.4, "p_value": 1.0, "beats": False}}
    better = {"value": 2.0, "comparison": {"difference": -0.1, "low": -0.3, "high": 0.1, "p_value": 0.2, "beats": False}}
    parts = [{"value": 1.9, "num_documents": 30, "yardsticks": {"trigram": told}} for told in (worse, worse, better)]
    report = {"base": "decoder", "metric": "bits_per_byte", "all": parts[0], "by_lang": {"en": parts[1]}, "by_source": {"books": parts[2]}}
    write(tmp_path / "build/assess/decoder/assessment.json", report)
    write(tmp_path / "build/metrics/pretrain@decoder.json", {"num_steps": 1000, "num_tokens": 1_024_000, "num_parameters": 1_300_000})
    whole, english, books = yardsticks.comparisons(tmp_path)
    assert [one.on for one in (whole, english, books)] == ["all", "en", "books"]
    assert whole.reason == "not better after 1,000 steps on 1.0 M tokens, with 1.3 M parameters"
    assert books.reason.startswith("better, but on 30 documents that may be chance; 1,000 steps")


def test_nothing_to_compare_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"build: nothing is evaluated yet; `stemma run` does that"):
        yardsticks.comparisons(tmp_path)
