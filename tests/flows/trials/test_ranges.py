"""What may be varied: every wrong declaration is one line that names it."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from flows import settings
from flows.trials import ranges
from model.errors import UserError
from tasks import params

PROJECT = Path(__file__).parents[3]


@pytest.fixture
def sections() -> dict[str, Any]:
    return params.read(PROJECT / "params.yaml")


def declare(sections: dict[str, Any], key: str, spec: Any) -> None:
    sections["tune"]["ranges"]["finetune"]["sentiment"] = {key: spec}


@pytest.mark.parametrize("profile", ["nano", "base", "gpu"])
def test_the_shipped_ranges_are_for_numbers_that_there_are_and_have_the_present_ones_in_them(profile: str, tmp_path: Path) -> None:
    from ruamel.yaml import YAML

    for name in ("params.yaml", "dvc.yaml"):  # without the data of whoever runs this: they may lack the checkpoints of a profile
        shutil.copy(PROJECT / name, tmp_path)
    shutil.copytree(PROJECT / "profiles", tmp_path / "profiles")
    found = YAML(typ="safe").load(settings.change(tmp_path, profile=profile))
    for kind, variants in found["tune"]["ranges"].items():
        for variant in variants:
            section = params.section(found, f"{kind}.{variant}")
            for key, limits in ranges.declared(found, f"{kind}@{variant}").items():
                assert limits.holds(section[key]), (variant, key)


@pytest.mark.parametrize(
    ("key", "spec", "message"),
    [
        ("learning_rat", {"low": 1, "high": 2}, "learning_rat: finetune.sentiment has no such number; there is .*learning_rate"),
        ("dropout", {"low": 0.3, "high": 0.1}, "dropout: low 0.3 is above high 0.1; swap them"),
        ("dropout", {"low": 0.0, "high": 0.1, "log": True}, "dropout: low 0 has no logarithm; raise it"),
        ("dropout", {"low": 0.0}, "dropout.high: missing"),
        ("dropout", {"low": 0.0, "high": "much"}, "dropout.high: .*got 'much'"),
        ("dropout", {"low": 0.0, "high": 0.1, "logg": True}, "dropout.logg: unknown key"),
        ("dropout", {"choices": []}, "dropout.choices: "),
        ("batch_size", {"low": 8, "high": 16.5}, "batch_size: finetune.sentiment.batch_size is a whole number"),
        ("dropout", 0.1, "dropout: 0.1 is no range; write"),
        ("schedule", {"low": 1, "high": 2}, "schedule: finetune.sentiment.schedule is 'cosine' and no number; declare"),
        ("max_validation_examples", {"low": 1, "high": 2}, "max_validation_examples: it decides what the validation loss measures"),
    ],
)
def test_a_wrong_range_is_one_line(sections: dict[str, Any], key: str, spec: Any, message: str) -> None:
    declare(sections, key, spec)
    with pytest.raises(UserError, match=rf"^params.yaml: tune.ranges.finetune.sentiment.{message}") as error:
        ranges.declared(sections, "finetune@sentiment")
    assert "\n" not in str(error.value)


def test_a_stage_without_ranges_and_a_file_without_the_section_are_one_line(sections: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"tune.ranges.finetune.poetry: no ranges are declared; add them, such as \{learning_rate"):
        ranges.declared(sections, "finetune@poetry")
    del sections["tune"]
    with pytest.raises(UserError, match=r"^params.yaml: tune: no such section; "):
        ranges.declared(sections, "finetune@sentiment")


def test_drawn_numbers_have_few_digits_and_stay_in_the_range(sections: dict[str, Any]) -> None:
    declare(sections, "learning_rate", {"low": 3.3333e-4, "high": 3e-3, "log": True})
    limits = ranges.declared(sections, "finetune@sentiment")["learning_rate"]
    assert limits.tidy(0.00123456) == 0.00123
    assert limits.tidy(0.00033333) == limits.low == 3.3333e-4
    assert limits.holds(limits.tidy(0.0029999))
    assert not limits.holds(0.0031)


def test_whole_numbers_stay_whole(sections: dict[str, Any]) -> None:
    declare(sections, "batch_size", {"low": 8, "high": 64})
    limits = ranges.declared(sections, "finetune@sentiment")["batch_size"]
    assert [type(end) for end in limits.ends()] == [int, int]
    assert limits.tidy(12345) == 12345
