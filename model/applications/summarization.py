"""Summarization: a document in, a short text that says what it says out."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from .. import generation
from ..words import sentences, words
from . import Row

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..params import Decoding, Fitting

SCHEMA = pa.schema([("document", pa.string()), ("summary", pa.string())])
INPUTS = ("document",)
METRIC = "rougeL"
EXAMPLE = {
    "document": "The city council voted on Monday to close the old bridge for repairs. Work begins in May and will take two years. "
    "Drivers will be sent over the northern crossing, and a ferry will run for people on foot."
}

KINDS = ("rouge1", "rouge2", "rougeL")

open_model, labels = generation.open_model, generation.labels


def refuse(row: Row) -> str | None:
    """Why a row of the right types cannot be used, or None."""
    if empty := [name for name in SCHEMA.names if not row[name].strip()]:
        return f"{empty[0]}: empty"
    return "summary: longer than its document" if len(row["summary"]) > len(row["document"]) else None


def split_key(row: Row) -> str:
    """The text whose hash decides the split: the document, which may have several summaries."""
    return str(row["document"])


def encode(rows: Sequence[Row], tokenizer: "PreTrainedTokenizerBase", context: int, labels: Sequence[str]) -> list[generation.Feature]:
    """The beginning of the document and its summary in `context` tokens, loss on the summary only."""
    return generation.encode([(row["document"], row["summary"]) for row in rows], tokenizer, context, shorten=True)


def predict(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: Sequence[Row],
    context: int,
    batch_size: int,
    decoding: "Decoding",
) -> list[dict[str, Any]]:
    """One `summary` a row."""
    texts = generation.answer(model, tokenizer, [row["document"] for row in rows], context, batch_size, decoding)
    return [{"summary": text} for text in texts]


def statistics(rows: Sequence[Row], predictions: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """1 and the F1 of ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004), shape (rows, 4)."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(KINDS, tokenizer=_Words())
    scores = [scorer.score(row["summary"], prediction["summary"]) for row, prediction in zip(rows, predictions, strict=True)]
    return np.array([[1.0, *(score[kind].fmeasure for kind in KINDS)] for score in scores]).reshape(len(rows), 4)


def metrics(total: np.ndarray) -> dict[str, float]:
    """The means of ROUGE-1, ROUGE-2 and ROUGE-L, 0 to 1."""
    return {kind: float(value / max(total[0], 1)) for kind, value in zip(KINDS, total[1:], strict=True)}


def baselines(train: Sequence[Row], rows: Sequence[Row], params: "Fitting") -> dict[str, list[dict[str, Any]]]:
    """The document's first sentence."""
    return {"lead sentence": [{"summary": next(iter(sentences(row["document"])), "")} for row in rows]}


class _Words:
    """rouge-score's own tokenizer drops every letter outside a to z."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)
