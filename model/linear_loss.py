"""Cross-entropy over a vocabulary of which no more than a part of the logits is ever held."""

from collections.abc import Callable, Iterator
from functools import cache, partial

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

HELD = 2**24  # logits at once: 64 MB in float32

Head = Callable[[Tensor], Tensor]  # hidden states (labels, hidden) to logits (labels, vocabulary)


def summed(
    head: Head, hidden: Tensor, labels: Tensor, vocabulary: int, label_smoothing: float = 0.0, held: int = HELD, fused: bool = False
) -> Tensor:
    """-log p of `labels` (labels), summed, for hidden states (labels, hidden); `fused` by `torch.compile`.

    More than `held` logits are made a part at a time, and a part again when its gradient is due (Chen et al., 2016).
    """
    part = partial(_fused() if fused else _part, head, label_smoothing)
    pieces = [*parts(hidden, labels, vocabulary, held)]
    if len(pieces) < 2:
        return part(hidden, labels)
    return torch.stack([checkpoint(part, *piece, use_reentrant=False, preserve_rng_state=False) for piece in pieces]).sum()


def _part(head: Head, label_smoothing: float, hidden: Tensor, labels: Tensor) -> Tensor:
    return cross_entropy(head(hidden).float(), labels, reduction="sum", label_smoothing=label_smoothing)


@cache
def _fused() -> Callable[..., Tensor]:
    return torch.compile(_part, dynamic=True)  # the number of labels differs from batch to batch


def parts(hidden: Tensor, labels: Tensor, vocabulary: int, held: int = HELD) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of both in their order, as many at once as have no more than `held` logits."""
    rows = max(1, held // vocabulary)
    return zip(hidden.split(rows), labels.split(rows), strict=True)
