"""R-Drop: two passes over each batch, each with dropout of its own, and a price on how much they disagree (Liang et al., 2021)."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import kl_div
from transformers import PreTrainedModel

from .losses import Batch, Loss, surprise

Logits = Callable[[PreTrainedModel, Batch], tuple[Tensor, Tensor]]  # (labels, classes), -inf where a class is impossible, and the labels


def r_drop(logits: Logits, weight: float, label_smoothing: float) -> Loss:
    """A loss: the mean of both passes' -log p, and `weight` times the symmetric KL divergence between them, summed over labels.

    The paper adds the two -log p instead of taking their mean: its loss is twice this one, with an alpha of twice this weight.
    """

    def loss(model: PreTrainedModel, batch: Batch) -> tuple[Tensor, Tensor]:
        (first, labels), (second, _) = logits(model, batch), logits(model, batch)
        total = (surprise(first, labels, label_smoothing) + surprise(second, labels, label_smoothing)) / 2
        return total + weight * disagreement(first, second), torch.tensor(len(labels), device=labels.device)

    return loss


def disagreement(first: Tensor, second: Tensor) -> Tensor:
    """The mean of KL(first, second) and KL(second, first) of logits (labels, classes), in nats, summed over labels."""
    impossible = first.isneginf()
    one, other = (logits.log_softmax(-1).masked_fill(impossible, 0) for logits in (first, second))
    there, back = (kl_div(*pair, reduction="sum", log_target=True) for pair in ((one, other), (other, one)))
    return (there + back) / 2
