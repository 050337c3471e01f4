"""Losses as sums over labels, so that a step over several batches can be normalised by all its labels at once."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from . import packing
from .backbone import head, is_decoder
from .vocabulary import IGNORED

Batch = Mapping[str, Tensor]
Loss = Callable[[PreTrainedModel, Batch], tuple[Tensor, Tensor]]  # the sum over labels in nats, and the number of labels


def language_loss(model: PreTrainedModel, batch: Batch, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """-log p of the labels under a language modelling head; a decoder's label is compared with the prediction one position before it.

    `documents`, where the batch has it, keeps packed documents apart. The head is computed at labelled positions only.
    """
    logits, labels = labelled_logits(model, batch)
    return cross_entropy(logits, labels, reduction="sum", label_smoothing=label_smoothing), _count(labels)


def labelled_logits(model: PreTrainedModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Float32 logits (labels, vocabulary) and label ids (labels) of a batch with `input_ids` and `labels` (batch, tokens)."""
    inputs: dict[str, Any] = {name: value for name, value in batch.items() if name not in ("labels", "documents")}
    if "documents" in batch:
        inputs |= packing.attention(model.config, batch["documents"])
    hidden, labels = model.base_model(**inputs).last_hidden_state, batch["labels"]
    if is_decoder(model.config):
        hidden, labels = hidden[:, :-1], labels[:, 1:]
    at = labels != IGNORED
    return head(model, hidden[at]).float(), labels[at]


def head_loss(model: PreTrainedModel, batch: Batch, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """-log p of class labels: a sequence's (batch), a token's (batch, tokens), or a span's `start_positions` and `end_positions`."""
    inputs = {name: value for name, value in batch.items() if name not in ("labels", "start_positions", "end_positions")}
    outputs = model(**inputs)
    if "start_positions" in batch:
        logits = torch.stack([outputs.start_logits, outputs.end_logits], dim=1)
        labels = torch.stack([batch["start_positions"], batch["end_positions"]], dim=1)
    else:
        logits, labels = outputs.logits, batch["labels"]
    flat = labels.flatten()
    total = cross_entropy(
        logits.float().reshape(len(flat), -1), flat, ignore_index=IGNORED, reduction="sum", label_smoothing=label_smoothing
    )
    return total, (flat != IGNORED).sum()


@torch.no_grad()
def mean_loss(model: PreTrainedModel, batches: Iterable[Batch], loss: Loss) -> float:
    """The loss per label over all `batches`, in nats."""
    total, count = 0.0, 0
    for batch in batches:
        batch_total, batch_count = loss(model, to_device(batch, model.device))
        total, count = total + float(batch_total), count + int(batch_count)
    return total / max(count, 1)


@torch.no_grad()
def language_metrics(model: PreTrainedModel, batches: Iterable[Batch]) -> dict[str, float]:
    """`validation_loss` in nats and `validation_accuracy`, per label of all `batches`, under a language modelling head."""
    total, right, count = 0.0, 0, 0
    for batch in batches:
        logits, labels = labelled_logits(model, to_device(batch, model.device))
        total += float(cross_entropy(logits, labels, reduction="sum"))
        right += int((logits.argmax(dim=-1) == labels).sum())
        count += len(labels)
    return {"validation_loss": total / max(count, 1), "validation_accuracy": right / max(count, 1)}


def to_device(batch: Batch, device: torch.device) -> dict[str, Tensor]:
    """The batch on `device`."""
    return {name: value.to(device) for name, value in batch.items()}


def _count(labels: Tensor) -> Tensor:
    return torch.tensor(labels.numel(), device=labels.device)
