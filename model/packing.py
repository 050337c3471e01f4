"""Documents of any length into full blocks, in which no token attends across documents."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from .vocabulary import IGNORED, PAD

Block = tuple[list[int], list[int]]  # token ids, and for each the index of its document in the block (padding: -1)


def pack(documents: Iterable[Sequence[int]], context: int) -> Iterator[Block]:
    """Blocks of exactly `context` tokens: a document that does not fit goes on in the next block, and only the last block is padded."""
    tokens: list[int] = []
    indices: list[int] = []
    for document in documents:
        rest = list(document)
        while rest:
            piece, rest = rest[: context - len(tokens)], rest[context - len(tokens) :]
            indices += [indices[-1] + 1 if indices else 0] * len(piece)
            tokens += piece
            if len(tokens) == context:
                yield tokens, indices
                tokens, indices = [], []
    if tokens:
        padding = context - len(tokens)
        yield tokens + [PAD] * padding, indices + [-1] * padding


def attention(config: PreTrainedConfig, documents: Tensor) -> dict[str, Any]:
    """What a model of `config` needs besides `input_ids` to see each document of `documents` (batch, tokens) as if it were alone.

    A block-diagonal mask and positions that restart. Padding attends to padding, so that no row of the mask is empty.
    """
    length = documents.shape[-1]
    index = torch.arange(length, device=documents.device)
    mask = _added if config._attn_implementation == "eager" else (lambda allowed: allowed)
    same = (documents[:, :, None] == documents[:, None, :])[:, None]
    positions = index - torch.cummax(index * starts(documents), dim=-1).values
    match config.model_type:
        case "bert":
            return {"attention_mask": mask(same), "position_ids": positions}
        case "roberta":
            return {"attention_mask": mask(same), "position_ids": positions + config.pad_token_id + 1}
        case "modernbert":
            near = (index[:, None] - index[None, :]).abs() <= config.sliding_window
            return {"attention_mask": {"full_attention": mask(same), "sliding_attention": mask(same & near)}, "position_ids": positions}
        case _:
            causal = index[:, None] >= index[None, :]
            return {"attention_mask": mask(same & causal), "position_ids": positions, "use_cache": False}


def _added(allowed: Tensor) -> Tensor:
    """What is added to the scores of attention instead of a mask."""
    return torch.zeros(allowed.shape, device=allowed.device).masked_fill(~allowed, -torch.inf)


def starts(documents: Tensor) -> Tensor:
    """Where a document (or the padding) begins: booleans of the shape of `documents` (batch, tokens)."""
    return torch.diff(documents, dim=-1, prepend=documents[:, :1] - 1) != 0


def alone(documents: Tensor) -> tuple[Tensor, Tensor]:
    """Each document of `documents` (batch, tokens) on a row of its own, in their order.

    Both results are (rows, tokens of the longest): the places in the flattened batch, and which of them are the document's own tokens.
    """
    opens = (starts(documents) & (documents >= 0)).flatten()
    firsts, own = opens.nonzero(), (documents >= 0).flatten()
    lengths = torch.bincount((opens.cumsum(0) - 1)[own], minlength=len(firsts))[:, None]
    index = torch.arange(int(lengths.max()), device=documents.device)
    inside = index < lengths
    return firsts + index * inside, inside


def causal_labels(tokens: Tensor, documents: Tensor) -> Tensor:
    """Each token (batch, tokens) as its own label, but for a document's first, which nothing precedes, and for padding."""
    return tokens.masked_fill(starts(documents) | (documents < 0), IGNORED)
