"""Whether a checkpoint's weights are of the shape that its config.json names: libraries make up what is missing. No weights are loaded."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model.errors import UserError
from tasks.checkpoint import EMBEDDINGS

LAYER = re.compile(r"(?:^|\.)(?:layers?|h)\.(\d+)\.")  # in the name of a tensor
LAYERS, WIDTH = ("num_hidden_layers", "n_layer"), ("hidden_size", "n_embd")  # in config.json


def check(files: Sequence[Path], name: str) -> None:
    """Look at the `files` of a checkpoint that messages call `name`; a GGUF file describes itself.

    Raises:
        UserError: the weights have other layers than config.json names, or another width.
    """
    config: dict[str, Any] = next((json.loads(file.read_text(encoding="utf-8")) for file in files if file.name == "config.json"), {})
    layers, width = (next((config[key] for key in keys if key in config), None) for keys in (LAYERS, WIDTH))
    shapes = {key: shape for file in files if file.suffix == ".safetensors" for key, shape in _shapes(file).items()}
    present = {int(found[1]) for key in shapes if (found := LAYER.search(key))}
    if isinstance(layers, int) and present != set(range(layers)):
        raise UserError(f"{name}: config.json names {layers} layers, and the weights have {len(present)}; get the whole checkpoint again")
    widths = {shape[-1] for key, shape in shapes.items() if key.endswith(EMBEDDINGS)}
    if width is not None and not widths <= {width}:
        there = f"config.json names a width of {width}, and the weights have {', '.join(map(str, sorted(widths)))}"
        raise UserError(f"{name}: {there}; take the config.json that belongs to them")


def _shapes(file: Path) -> dict[str, list[int]]:
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as opened:
        return {key: opened.get_slice(key).get_shape() for key in opened.keys()}  # noqa: SIM118
