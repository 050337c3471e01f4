"""What a fine-tuned model is for: one module per application, found by its name.

A module of this folder offers what `Application` lists, and nothing is registered anywhere. Importing one is cheap: torch and transformers
are imported inside the functions that need them, because ingest and planning read the columns too.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..params import Decoding, Fitting

Row = Mapping[str, Any]  # one example: the columns of SCHEMA


class Application(Protocol):
    """The interface of a module in this folder (its columns, its head, its metric, its predictor)."""

    SCHEMA: "pa.Schema"
    """Columns of `data/<application>/{train,validation,test}.parquet`."""
    INPUTS: tuple[str, ...]
    """The columns a prediction needs."""
    METRIC: str
    """The metric that decides about promotion; higher is better."""
    EXAMPLE: dict[str, Any]
    """One row of INPUTS, for the registered model's signature."""

    def refuse(self, row: Row) -> str | None:
        """Why a row of the right types cannot be used, or None."""

    def split_key(self, row: Row) -> str:
        """The text whose hash decides the split, so that no passage stands in two."""

    def open_model(self, folder: Path, labels: Sequence[str], dropout: float) -> "PreTrainedModel":
        """The checkpoint of a base with this application's head on it, in float32."""

    def labels(self, rows: Sequence[Row]) -> list[str]:
        """The label set of training rows, sorted; empty where there is none."""

    def encode(
        self, rows: Sequence[Row], tokenizer: "PreTrainedTokenizerBase", context: int, labels: Sequence[str]
    ) -> list[dict[str, list[int]]]:
        """Training features, in order; one row may give several, or none if it does not fit."""

    def predict(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        rows: Sequence[Row],
        context: int,
        batch_size: int,
        decoding: "Decoding",
    ) -> list[dict[str, Any]]:
        """One prediction a row (rows need INPUTS only), each a flat dict of JSON values."""

    def statistics(self, rows: Sequence[Row], predictions: Sequence[Mapping[str, Any]]) -> "np.ndarray":
        """Sufficient statistics of the metrics, shape (rows, k): the bootstrap resamples rows and sums them."""

    def metrics(self, total: "np.ndarray") -> dict[str, float]:
        """The metrics of summed statistics, shape (k,)."""

    def baselines(self, train: Sequence[Row], rows: Sequence[Row], params: "Fitting") -> dict[str, list[dict[str, Any]]]:
        """Predictions of the simple methods a model has to beat, by name."""


def names() -> list[str]:
    """The applications there are."""
    return sorted(file.stem for file in Path(__file__).parent.glob("*.py") if file.stem != "__init__")


def load(name: str) -> Application:
    """The application called `name`.

    Raises:
        UserError: there is no such module.
    """
    if name not in names():
        raise UserError(f"{name}: no such application; there is {', '.join(names())}, or add model/applications/{name}.py")
    return cast(Application, import_module(f"{__name__}.{name}"))
