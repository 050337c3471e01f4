"""How surprised a base is by documents: minus the log probability of their tokens, whatever blocks they were packed into."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from .losses import labelled_logits, to_device
from .vocabulary import IGNORED


@dataclass(frozen=True)
class Window:
    """A stretch of a document, as a model is shown it: token ids and labels (tokens,), IGNORED where nothing is asked."""

    document: int
    ids: np.ndarray
    labels: np.ndarray


def causal_windows(documents: Sequence[np.ndarray], context: int) -> Iterator[Window]:
    """Every token of each document but its first is asked for once, after at least half of `context` tokens where it has so many."""
    for index, ids in enumerate(documents):
        told = 1
        for start in range(0, max(len(ids) - context, 0) + context // 2, context // 2):
            window = ids[start : start + context]
            if told < start + len(window):
                yield Window(index, window, np.where(np.arange(start, start + len(window)) < told, IGNORED, window))
                told = start + len(window)


def masked_windows(
    documents: Sequence[np.ndarray], context: int, mask: int, special: Sequence[int], probability: float, seed: int
) -> Iterator[Window]:
    """Each token that is not `special` is asked for with `probability`, drawn from (seed, document), and shown as `mask`."""
    for index, ids in enumerate(documents):
        chosen = (np.random.default_rng((seed, index)).random(len(ids)) < probability) & ~np.isin(ids, special)
        shown, labels = np.where(chosen, mask, ids), np.where(chosen, ids, IGNORED)
        for start in range(0, len(ids), context):
            yield Window(index, shown[start : start + context], labels[start : start + context])


@torch.inference_mode()
def losses(model: PreTrainedModel, windows: Sequence[Window], num_documents: int, pad: int, batch_size: int) -> np.ndarray:
    """The nats of all that is asked of each document (num_documents,)."""
    total = np.zeros(num_documents)
    order = sorted(range(len(windows)), key=lambda at: (len(windows[at].ids), at))
    for first in range(0, len(order), batch_size):
        some = [windows[at] for at in order[first : first + batch_size]]
        length = max(len(window.ids) for window in some)
        batch = {
            "input_ids": _filled([window.ids for window in some], length, pad),
            "labels": _filled([window.labels for window in some], length, IGNORED),
            "documents": _filled([np.zeros_like(window.ids) for window in some], length, -1),
        }
        logits, labels = labelled_logits(model, to_device(batch, model.device))
        nats = cross_entropy(logits, labels, reduction="none").double().cpu().numpy()
        asked = [int((window.labels != IGNORED).sum()) for window in some]
        np.add.at(total, np.repeat([window.document for window in some], asked), nats)
    return total


def _filled(rows: Sequence[np.ndarray], length: int, filler: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.pad(row, (0, length - len(row)), constant_values=filler) for row in rows]))
