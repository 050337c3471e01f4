"""Sentiment: a text in, its label (`positive`, `negative`, `neutral`) out."""

import pyarrow as pa

from ..classification import baselines, encode, labels, metrics, open_model, predict, refuse, split_key, statistics

SCHEMA = pa.schema([("text", pa.string()), ("label", pa.string())])
INPUTS = ("text",)
METRIC = "accuracy"
EXAMPLE = {"text": "A warm, funny film that never overstays its welcome."}

__all__ = ["EXAMPLE", "INPUTS", "METRIC", "SCHEMA", "baselines", "encode", "labels", "metrics", "open_model", "predict", "refuse"]
__all__ += ["split_key", "statistics"]
