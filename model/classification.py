"""What applications that give a `text` one `label` share: head, features, predictor, metric and baselines."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from .features import Feature
    from .params import Decoding, Fitting

Row = Mapping[str, Any]


def refuse(row: Row) -> str | None:
    """Why a row of the right types cannot be used, or None."""
    return next((f"{name}: empty" for name in ("text", "label") if not row[name].strip()), None)


def split_key(row: Row) -> str:
    """The text whose hash decides the split: the whole example."""
    return json.dumps([row["text"], row["label"]], ensure_ascii=False)


def open_model(folder: Path, labels: Sequence[str], dropout: float) -> "PreTrainedModel":
    """The base of `folder` with an output for each label."""
    from transformers import AutoModelForSequenceClassification

    from .heads import names_of, open_head

    return open_head(AutoModelForSequenceClassification, folder, dropout, **names_of(list(labels)))


def labels(rows: Sequence[Row]) -> list[str]:
    """The label set of training rows, sorted."""
    return sorted({row["label"] for row in rows})


def encode(rows: Sequence[Row], tokenizer: "PreTrainedTokenizerBase", context: int, labels: Sequence[str]) -> "list[Feature]":
    """The beginning of each text that fits into `context` tokens, with the index of its label; a row of another label gives nothing."""
    index = {label: at for at, label in enumerate(labels)}
    known = [row for row in rows if row["label"] in index]
    sequences = _sequences([row["text"] for row in known], tokenizer, context)
    return [{"input_ids": ids, "labels": index[row["label"]]} for row, ids in zip(known, sequences, strict=True)]


def predict(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: Sequence[Row],
    context: int,
    batch_size: int,
    decoding: "Decoding",
) -> list[dict[str, Any]]:
    """The likeliest `label` of each row and its `probability`."""
    import torch

    from .features import Special, by_length, padded
    from .heads import labels_of

    names = labels_of(model)
    sequences = _sequences([row["text"] for row in rows], tokenizer, context)
    predictions: list[dict[str, Any]] = [{} for _ in rows]
    model.eval()
    with torch.inference_mode():
        for indices in by_length([len(ids) for ids in sequences], batch_size):
            batch = padded([{"input_ids": sequences[at]} for at in indices], Special.of(tokenizer).pad)
            scores = model(**{name: value.to(model.device) for name, value in batch.items()}).logits.float().softmax(-1)
            for at, row in zip(indices, scores.tolist(), strict=True):
                best = max(range(len(row)), key=row.__getitem__)
                predictions[at] = {"label": names[best], "probability": round(row[best], 4)}
    return predictions


def statistics(rows: Sequence[Row], predictions: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """One cell of the confusion matrix a row, flattened: shape (rows, labels * labels), true label times predicted label."""
    pairs = [(row["label"], prediction["label"]) for row, prediction in zip(rows, predictions, strict=True)]
    index = {label: at for at, label in enumerate(sorted({label for pair in pairs for label in pair}))}
    cells = np.zeros((len(rows), len(index) ** 2))
    cells[np.arange(len(rows)), [index[true] * len(index) + index[predicted] for true, predicted in pairs]] = 1
    return cells


def metrics(total: np.ndarray) -> dict[str, float]:
    """Accuracy, and the mean F1 of the labels that occur, true or predicted; 0 to 1."""
    size = round(len(total) ** 0.5)
    confusion = np.asarray(total).reshape(size, size)
    hits, occurrences = confusion.diagonal(), confusion.sum(0) + confusion.sum(1)
    present = occurrences > 0
    scores = 2 * hits[present] / occurrences[present]
    return {"accuracy": float(hits.sum() / max(confusion.sum(), 1)), "macro_f1": float(scores.mean()) if present.any() else 0.0}


def baselines(train: Sequence[Row], rows: Sequence[Row], params: "Fitting") -> dict[str, list[dict[str, Any]]]:
    """The commonest label, and where there are several, logistic regressions on TF-IDF weights of characters and on mean word vectors."""
    from . import regression

    counts = Counter(row["label"] for row in train)
    majority = min(counts, key=lambda label: (-counts[label], label))
    told = {"majority": [majority for _ in rows]}
    if len(counts) > 1:
        texts, labels = [row["text"] for row in train], [row["label"] for row in train]
        told |= regression.predictions(texts, labels, [row["text"] for row in rows], params)
    return {name: [{"label": label} for label in labels] for name, labels in told.items()}


def _sequences(texts: Sequence[str], tokenizer: "PreTrainedTokenizerBase", context: int) -> list[list[int]]:
    from .features import Special, token_ids

    special = Special.of(tokenizer)
    return [[special.first, *ids[: context - 2], special.separator] for ids in token_ids(tokenizer, texts)]
