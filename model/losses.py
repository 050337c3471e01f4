"""Losses as sums over labels, so that a step over several batches can be normalised by all its labels at once."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from . import linear_loss, packing
from .backbone import head, is_decoder
from .compilation import is_compiled
from .heads import pooled, pools
from .vocabulary import IGNORED

TARGETS = ("labels", "start_positions", "end_positions", "documents")  # of a batch: what the model does not read
Batch = Mapping[str, Tensor]
Loss = Callable[[PreTrainedModel, Batch], tuple[Tensor, Tensor]]  # the sum over labels in nats, and the number of labels


def language_loss(model: PreTrainedModel, batch: Batch, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """-log p of the labels under a language modelling head; a decoder's label is compared with the prediction one position before it.

    `documents`, where the batch has it, keeps packed documents apart. The head is computed at labelled positions only, a part at a time.
    """
    hidden, labels = labelled_states(model, batch)
    logits = partial(head, model)
    total = linear_loss.summed(logits, hidden, labels, model.config.vocab_size, label_smoothing, fused=is_compiled(model))
    return total, _count(labels)


def labelled_logits(model: PreTrainedModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Float32 logits (labels, vocabulary) and label ids (labels) of a batch with `input_ids` and `labels` (batch, tokens)."""
    hidden, labels = labelled_states(model, batch)
    return head(model, hidden).float(), labels


def labelled_states(model: PreTrainedModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Last hidden states (labels, hidden) from which labels are predicted, and the label ids (labels)."""
    hidden, labels = model.base_model(**_inputs(model, batch)).last_hidden_state, batch["labels"]
    if is_decoder(model.config):
        hidden, labels = hidden[:, :-1], labels[:, 1:]
    at = labels != IGNORED
    return hidden[at], labels[at]


def head_loss(model: PreTrainedModel, batch: Batch, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """-log p of class labels: of a text, of a token, or of the tokens at which a span starts and ends, among those of its text.

    `documents`, where the batch has it, keeps packed texts apart: the loss is that of each text on a row of its own.
    """
    logits, labels = head_logits(model, batch)
    return surprise(logits, labels, label_smoothing), _count(labels)


def surprise(logits: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
    """-log p of `labels` by logits (labels, classes), summed; smoothing goes to the classes that are possible, whose logit is not -inf."""
    if not label_smoothing or not (impossible := logits.isneginf()).any():
        return cross_entropy(logits, labels, reduction="sum", label_smoothing=label_smoothing)
    scores = logits.log_softmax(-1)
    uniform = scores.masked_fill(impossible, 0).sum(-1) / (~impossible).sum(-1)
    return -((1 - label_smoothing) * scores.gather(1, labels[:, None])[:, 0] + label_smoothing * uniform).sum()


def head_logits(model: PreTrainedModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Float32 logits (labels, classes) and the labels (labels) of a batch.

    `labels` are of texts (batch), of tokens (batch, tokens), or packed (batch, tokens): a text's label at its first token. Of spans, whose
    classes are the places in a text, come first all starts, then all ends; a place beyond the text has logit -inf.
    """
    if "start_positions" in batch:
        return _span_logits(model, batch)
    labels = batch["labels"]
    if "documents" in batch and pools(model):
        places, own = packing.alone(batch["documents"])
        hidden = model.base_model(**_inputs(model, batch)).last_hidden_state
        logits, labels = pooled(model, hidden.flatten(0, 1)[places], own), labels.flatten()[places[:, 0]]
    else:
        logits = model(**_inputs(model, batch)).logits
    at = labels != IGNORED
    return logits[at].float(), labels[at]


def _span_logits(model: PreTrainedModel, batch: Batch) -> tuple[Tensor, Tensor]:
    outputs = model(**_inputs(model, batch))
    scores = torch.stack([outputs.start_logits, outputs.end_logits]).float()  # (2, batch, tokens)
    labels = torch.stack([batch["start_positions"], batch["end_positions"]])
    if "documents" in batch:
        places, own = packing.alone(batch["documents"])
        scores, labels = scores.flatten(1)[:, places], labels.flatten(1)[:, places[:, 0]]
    else:
        own = batch["attention_mask"].bool()
    return scores.masked_fill(~own, -torch.inf).flatten(0, 1), labels.flatten()


def _inputs(model: PreTrainedModel, batch: Batch) -> dict[str, Any]:
    """What of a batch the model reads."""
    inputs: dict[str, Any] = {name: value for name, value in batch.items() if name not in TARGETS}
    return inputs | (packing.attention(model.config, batch["documents"]) if "documents" in batch else {})


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
        hidden, labels = labelled_states(model, to_device(batch, model.device))
        for states, wanted in linear_loss.parts(hidden, labels, model.config.vocab_size):
            logits = head(model, states).float()
            total += float(cross_entropy(logits, wanted, reduction="sum"))
            right += int((logits.argmax(dim=-1) == wanted).sum())
        count += len(labels)
    return {"validation_loss": total / max(count, 1), "validation_accuracy": right / max(count, 1)}


def to_device(batch: Batch, device: torch.device) -> dict[str, Tensor]:
    """The batch on `device`."""
    return {name: value.to(device) for name, value in batch.items()}


def _count(labels: Tensor) -> Tensor:
    return torch.tensor(labels.numel(), device=labels.device)
