"""A fine-tuned checkpoint that predicts; what a registered model carries, so it needs the checkpoint's folder and nothing else."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import applications
from .params import Decoding


class Predictor:
    """The application, the tokenizer and the model of a checkpoint folder with `application.json`."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoTokenizer

        described = json.loads((folder / "application.json").read_text(encoding="utf-8"))
        self.application = applications.load(described["application"])
        self.context: int = described["context"]
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = self.application.open_model(folder, described["labels"], dropout=0.0).eval()
        self.model.to("cuda" if torch.cuda.is_available() else "cpu")

    def predict(self, rows: Sequence[Mapping[str, Any]], numbers: Mapping[str, Any]) -> list[dict[str, Any]]:
        """One prediction a row of INPUTS. `numbers`: `batch_size` and the fields of Decoding, all of them."""
        decoding = Decoding(**{name: value for name, value in numbers.items() if name != "batch_size"})
        inputs = [{name: _plain(row[name]) for name in self.application.INPUTS} for row in rows]
        return self.application.predict(self.model, self.tokenizer, inputs, self.context, numbers["batch_size"], decoding)


def _plain(value: Any) -> Any:
    """A cell of a data frame as Python's own type: MLflow hands lists over as NumPy arrays."""
    return value.tolist() if hasattr(value, "tolist") else value
