"""Features of examples into batches: the special tokens around them, padding, the order in training, whole examples in blocks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from .vocabulary import IGNORED

Feature = Mapping[str, Any]  # `input_ids` and what else the model's loss reads: a list as long, or a number

PLAIN = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
MULTIPLE = 16  # tokens: few shapes of batches, so that a compiled model is compiled a few times only


@dataclass(frozen=True)
class Special:
    """The ids of a tokenizer's special tokens, whatever it calls them."""

    pad: int
    first: int  # of what an encoder reads
    separator: int
    end: int  # of what a decoder writes, and before what it reads

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> "Special":
        """The ids of `tokenizer`; one that a checkpoint's tokenizer lacks is played by its nearest relative."""
        end = _first(tokenizer.eos_token_id, tokenizer.sep_token_id)
        return cls(
            pad=_first(tokenizer.pad_token_id, end),
            first=_first(tokenizer.cls_token_id, tokenizer.bos_token_id, end),
            separator=_first(tokenizer.sep_token_id, end),
            end=end,
        )


def token_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of each text, without special ones: "[SEP]" in a text is text."""
    return tokenizer(list(texts), **PLAIN)["input_ids"] if texts else []


def padded(features: Sequence[Feature], pad: int) -> dict[str, Tensor]:
    """One batch (examples, tokens): as long as its longest example, rounded up; numbers become a vector."""
    length = max(len(feature["input_ids"]) for feature in features)
    length = -(-length // MULTIPLE) * MULTIPLE
    batch = {"attention_mask": torch.tensor([_fill([1] * len(feature["input_ids"]), length, 0) for feature in features])}
    for name, value in features[0].items():
        values = [feature[name] for feature in features]
        if isinstance(value, list):
            values = [_fill(row, length, pad if name == "input_ids" else IGNORED) for row in values]
        batch[name] = torch.tensor(values)
    return batch


def by_length(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Every index once, in batches of like length, so that little of a batch is padding."""
    order = sorted(range(len(lengths)), key=lambda index: (lengths[index], index))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def in_batches(lengths: Sequence[int], batch_size: int, seed: int) -> Callable[[int], list[int]]:
    """Indices of the i-th training batch, a pure function of i: each epoch has an order of its own, drawn from `seed`.

    Batches are of like length within stretches of fifty, which are mixed again.
    """
    num_batches = -(-len(lengths) // batch_size)

    @lru_cache(maxsize=2)
    def epoch(number: int) -> list[list[int]]:
        random = np.random.default_rng([seed, number])
        order = random.permutation(len(lengths)).tolist()
        batches: list[list[int]] = []
        for start in range(0, len(order), 50 * batch_size):
            stretch = order[start : start + 50 * batch_size]
            batches += [[stretch[at] for at in batch] for batch in by_length([lengths[at] for at in stretch], batch_size)]
        return [batches[at] for at in random.permutation(len(batches))]

    return lambda index: epoch(index // num_batches)[index % num_batches]


def shuffled(num_items: int, batch_size: int, seed: int) -> Callable[[int], list[int]]:
    """The items of micro-batch i: every epoch a new permutation drawn from (seed, epoch), one epoch following the other without a gap."""

    @lru_cache(maxsize=2)
    def permutation(epoch: int) -> np.ndarray:
        return np.random.default_rng((seed, epoch)).permutation(num_items)

    def items(index: int) -> list[int]:
        places = range(index * batch_size, (index + 1) * batch_size)
        return [int(permutation(place // num_items)[place % num_items]) for place in places]

    return items


def blocks(features: Sequence[Feature], context: int, pad: int) -> list[dict[str, list[int]]]:
    """Whole examples packed into blocks of exactly `context` tokens: the longest first, each where it leaves the least room.

    Best-fit decreasing (Johnson 1974; for language models Ding et al. 2024). A block has what a feature has, and `documents`, which numbers
    its examples (padding: -1); a number that an example has stands at its first token, with `IGNORED` behind it.
    """
    rooms: list[list[int]] = [[] for _ in range(context + 1)]  # rooms[n]: bins with n tokens left
    bins: list[list[Feature]] = []
    for feature in sorted(features, key=lambda feature: -len(feature["input_ids"])):
        size = len(feature["input_ids"])
        room = next((room for room in range(size, context + 1) if rooms[room]), None)
        if room is None:
            bins.append([])
            at, room = len(bins) - 1, context
        else:
            at = rooms[room].pop()
        bins[at].append(feature)
        rooms[room - size].append(at)
    return [_block(content, context, pad) for content in bins]


def _block(content: Iterable[Feature], context: int, pad: int) -> dict[str, list[int]]:
    block: dict[str, list[int]] = {}
    for index, feature in enumerate(content):
        length = len(feature["input_ids"])
        for name, value in {**feature, "documents": [index] * length}.items():
            block.setdefault(name, []).extend(value if isinstance(value, list) else _fill([value], length, IGNORED))
    fillers = {"input_ids": pad, "documents": -1}
    return {name: _fill(values, context, fillers.get(name, IGNORED)) for name, values in block.items()}


def _fill(values: list[int], length: int, filler: int) -> list[int]:
    return values + [filler] * (length - len(values))


def _first(*candidates: int | None) -> int:
    return next(candidate for candidate in candidates if candidate is not None)
