"""How large the model of a pretrained checkpoint says it is, for what is checked before anything is computed. No weights are loaded."""

import json
from dataclasses import dataclass
from pathlib import Path

from tasks import gguf_header
from tasks.weights import LAYERS

POSITIONS = ("max_position_embeddings", "n_positions")  # in config.json
PADDING = 1  # RoBERTa's padding id, where its config.json does not say


@dataclass(frozen=True)
class Dimensions:
    """None where it does not say."""

    layers: int | None
    positions: int | None  # tokens that it can read at once


def of(folder: Path) -> Dimensions:
    """Of a checkpoint that is whole (`checkpoint.facts` would tell)."""
    if not any(folder.glob("*.safetensors")):
        file = min(folder.glob("*.gguf"))
        values = gguf_header.read(file, file.name).values
        kind = values["general.architecture"]
        return Dimensions(values.get(f"{kind}.block_count"), values.get(f"{kind}.context_length"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    layers, positions = (next((config[key] for key in keys if isinstance(config.get(key), int)), None) for keys in (LAYERS, POSITIONS))
    if positions is not None and config.get("model_type") == "roberta":  # its positions start after the padding id
        positions -= config.get("pad_token_id", PADDING) + 1
    return Dimensions(layers, positions)
