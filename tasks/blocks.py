"""Packed blocks of the corpus, in the tokens and with the ends of documents of the base that is to read them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

from model.vocabulary import END

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DOCUMENTS_AT_ONCE = 64


@dataclass(frozen=True)
class Blocks:
    """Token ids and document indices (padding: -1), each (blocks, context)."""

    tokens: np.ndarray
    documents: np.ndarray

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def context(self) -> int:
        return self.tokens.shape[1]

    def rows(self, items: list[int] | slice) -> "Blocks":
        return Blocks(self.tokens[items], self.documents[items])


def read(file: Path) -> Blocks:
    """The blocks of a Parquet file that the tokenizer stage wrote: every document opens and closes with `<|end|>`."""
    table = pq.read_table(file)
    columns = (table[name].combine_chunks() for name in ("input_ids", "documents"))
    return Blocks(*(np.asarray(column.flatten(), dtype=np.int64).reshape(len(table), -1) for column in columns))


def with_ends(blocks: Blocks, first: int, last: int) -> Blocks:
    """The same documents, opened by token `first` and closed by token `last`."""
    tokens = blocks.tokens.flatten()
    ends = np.flatnonzero(tokens == END)  # by turns: a closing one may stand first in its block
    tokens[ends[::2]], tokens[ends[1::2]] = first, last
    return Blocks(tokens.reshape(blocks.tokens.shape), blocks.documents)


def encoded_again(
    blocks: Blocks, old: "PreTrainedTokenizerBase", new: "PreTrainedTokenizerBase", first: int, last: int, pad: int
) -> Blocks:
    """The documents of `blocks`, which `old` encoded, in the tokens of `new`."""
    from model.packing import pack

    def encoded() -> Iterator[list[int]]:
        texts = _texts(blocks, old)
        for start in range(0, len(texts), DOCUMENTS_AT_ONCE):
            group = texts[start : start + DOCUMENTS_AT_ONCE]
            for ids in new(group, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]:
                yield [first, *ids, last]

    tokens, indices = (np.array(column, dtype=np.int64) for column in zip(*pack(encoded(), blocks.context), strict=True))
    return Blocks(np.where(indices < 0, pad, tokens), indices)


def documents(blocks: Blocks) -> list[np.ndarray]:
    """The documents of blocks as the tokenizer stage wrote them, whole again: token ids (tokens,), `<|end|>` first and last."""
    stream = blocks.tokens[blocks.documents >= 0]
    return np.split(stream, np.flatnonzero(stream == END)[2::2])


def of_model(blocks: Blocks, ours: "PreTrainedTokenizerBase", tokenizer: "PreTrainedTokenizerBase", decoder: bool) -> list[np.ndarray]:
    """The documents of blocks, which `ours` encoded, in the tokens of a base and between its ends: token ids (tokens,)."""
    from model.features import Special

    special = Special.of(tokenizer)
    first, last = (special.end, special.end) if decoder else (special.first, special.separator)
    if tokenizer.get_vocab() == ours.get_vocab():
        content = [document[1:-1] for document in documents(blocks)]
    else:
        texts = _texts(blocks, ours)
        content = tokenizer(texts, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"] if texts else []
    return [np.concatenate([[first], ids, [last]]).astype(np.int64) for ids in content]


def _texts(blocks: Blocks, tokenizer: "PreTrainedTokenizerBase") -> list[str]:
    return [str(tokenizer.decode(document[1:-1])) for document in documents(blocks)]
