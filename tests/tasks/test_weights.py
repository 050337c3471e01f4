"""Weights of another shape than config.json names are one line."""

import json
import shutil
from pathlib import Path

import pytest

from model.errors import UserError
from tasks import weights

LAYERS, WIDTH = (
    "config.json names 3 layers, and the weights have 1; get the whole",
    "config.json names a width of 64, and the weights have 32",
)


@pytest.fixture(params=["bert", "roberta", "modernbert", "gpt2", "llama"])
def checkpoint(request: pytest.FixtureRequest, bases: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bases / request.param, tmp_path / "mine"))


def test_a_whole_checkpoint_passes(checkpoint: Path) -> None:
    weights.check([*checkpoint.iterdir()], "mine")


@pytest.mark.parametrize(("keys", "value", "message"), [(weights.LAYERS, 3, LAYERS), (weights.WIDTH, 64, WIDTH)])
def test_another_shape_is_one_line(checkpoint: Path, keys: tuple[str, ...], value: int, message: str) -> None:
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    [key] = config.keys() & {*keys}
    (checkpoint / "config.json").write_text(json.dumps(config | {key: value}), encoding="utf-8")
    with pytest.raises(UserError, match=f"^mine: {message}"):
        weights.check([*checkpoint.iterdir()], "mine")
