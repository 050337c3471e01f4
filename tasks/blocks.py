"""Packed blocks of the corpus, in the tokens and with the ends of documents of the base that is to read them.

Their file is Arrow's, uncompressed, and not Parquet as other outputs are: it is written as the blocks come and mapped into memory, so that
whoever reads it holds the blocks that are looked at and no others, however many there are.
"""

import math
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from model.errors import UserError
from model.vocabulary import END

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DOCUMENTS_AT_ONCE = 64
TOKENS_AT_ONCE = 2**17  # in a record batch


@dataclass(frozen=True)
class Blocks:
    """Token ids and document indices (padding: -1), each (blocks, context)."""

    tokens: np.ndarray
    documents: np.ndarray


@dataclass(frozen=True)
class MappedBlocks:
    """The blocks of a file; those that are looked at are copied as int64, with `ends` in place of each document's two `<|end|>`."""

    tokens: tuple[np.ndarray, ...]  # over the mapped file, in its narrow types; all but the last have equally many blocks
    documents: tuple[np.ndarray, ...]
    context: int
    ends: tuple[int, int] = (END, END)

    def __len__(self) -> int:
        return sum(map(len, self.tokens))

    def rows(self, items: Iterable[int]) -> Blocks:
        """The blocks of these numbers, in their order."""
        places = [divmod(item, len(self.tokens[0])) for item in items]
        return self._copied(*(np.stack([arrays[at][row] for at, row in places]) for arrays in (self.tokens, self.documents)))

    def portions(self, num_blocks: int | None = None) -> Iterator[Blocks]:
        """All blocks, or so many from their beginning, a few at a time."""
        left = len(self) if num_blocks is None else num_blocks
        for tokens, documents in zip(self.tokens, self.documents, strict=True):
            if left > 0:
                yield self._copied(tokens[:left], documents[:left])
            left -= len(tokens)

    def _copied(self, tokens: np.ndarray, documents: np.ndarray) -> Blocks:
        return with_ends(Blocks(tokens.astype(np.int64), documents.astype(np.int64)), *self.ends)


def with_ends(blocks: Blocks, first: int, last: int) -> Blocks:
    """The same documents, opened by token `first` and closed by token `last` instead of `<|end|>`.

    Which of the two an `<|end|>` is shows in its own block. It opens a document that begins inside the block; at the block's beginning it
    closes one if nothing of that document follows, since after an opening one something always does.
    """
    changes = np.diff(blocks.documents, axis=1) != 0
    opens = np.concatenate([~changes[:, :1], changes], axis=1)
    return Blocks(np.where(blocks.tokens == END, np.where(opens, first, last), blocks.tokens), blocks.documents)


def write(packed: Iterable[tuple[Sequence[int], Sequence[int]]], file: Path, context: int, vocab_size: int) -> None:
    """Write blocks, `context` token ids and document indices each, as they come; tokens in 16 bits where they fit."""
    schema = pa.schema(
        {
            "input_ids": pa.list_(pa.uint16() if vocab_size <= 2**16 else pa.int32(), context),
            "documents": pa.list_(pa.int16() if context <= 2**15 else pa.int32(), context),
        }
    )
    blocks = iter(packed)
    with pa.ipc.new_file(file, schema) as writer:
        while group := list(islice(blocks, max(1, TOKENS_AT_ONCE // context))):
            columns = zip(*group, strict=True)
            arrays = [pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=schema))


def read(file: Path) -> MappedBlocks:
    """Map a file that `write` wrote.

    Where all arrays lie is looked up now: in a file that was cut short, a read beyond its end would kill the process later.

    Raises:
        UserError: it is missing, truncated or no such file.
    """
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(file)))
        batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        tokens, documents = (tuple(_array(batch, name) for batch in batches) for name in ("input_ids", "documents"))
        if not batches:
            raise pa.ArrowInvalid("no blocks")
        size, context = tokens[0].shape
        same = all(len(array) == size for array in tokens[:-1])
        if not same or any(len(array) > size or array.shape[1] != context for array in (*tokens, *documents)):
            raise pa.ArrowInvalid("its blocks are not of one size")
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise UserError(f"{file}: cannot be read ({str(error).splitlines()[0]}); `stemma run --force tokenizer` writes it again") from None
    return MappedBlocks(tokens, documents, context)


def encoded_again(
    blocks: MappedBlocks, old: "PreTrainedTokenizerBase", new: "PreTrainedTokenizerBase", ends: tuple[int, int], pad: int, folder: Path
) -> MappedBlocks:
    """The documents of `blocks`, which `old` encoded, in the tokens of `new` and between `ends`.

    They go to a file in `folder` that is mapped as `blocks` are, and has no name any more: memory is taken for a few documents at a time,
    and the disk is free again when the process ends.
    """
    from model.packing import pack

    first, last = ends
    packed = pack(([first, *ids, last] for ids in _encoded(blocks.portions(), old, new)), blocks.context)
    padded = (([pad if index < 0 else token for token, index in zip(ids, documents, strict=True)], documents) for ids, documents in packed)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".arrow") as file:
        write(padded, Path(file.name), blocks.context, 1 + max(new.get_vocab().values()))
        return read(Path(file.name))


def documents(portions: Iterable[Blocks]) -> Iterator[np.ndarray]:
    """The documents of blocks as the tokenizer stage wrote them, whole again: token ids (tokens,), `<|end|>` first and last."""
    rest = np.zeros(0, dtype=np.int64)
    for blocks in portions:
        stream = np.concatenate([rest, blocks.tokens[blocks.documents >= 0]])
        *whole, rest = np.split(stream, np.flatnonzero(stream == END)[2::2])
        yield from whole
    if len(rest):
        yield rest


def of_model(
    blocks: MappedBlocks, ours: "PreTrainedTokenizerBase", tokenizer: "PreTrainedTokenizerBase", decoder: bool
) -> Iterator[np.ndarray]:
    """The documents of blocks, which `ours` encoded, in the tokens of a base and between its ends: token ids (tokens,)."""
    first, last = ends_of(tokenizer, decoder)
    same = tokenizer.get_vocab() == ours.get_vocab()
    contents = (document[1:-1] for document in documents(blocks.portions())) if same else _encoded(blocks.portions(), ours, tokenizer)
    for ids in contents:
        yield np.concatenate([[first], ids, [last]]).astype(np.int64)


def ends_of(tokenizer: "PreTrainedTokenizerBase", decoder: bool) -> tuple[int, int]:
    """The tokens that open and close a document for a base with this tokenizer."""
    from model.features import Special

    special = Special.of(tokenizer)
    return (special.end, special.end) if decoder else (special.first, special.separator)


def frequencies(arrays: Iterable[np.ndarray], size: int = 0) -> np.ndarray:
    """How often each token id stands in arrays of any shape: (tokens,), as many as the greatest id asks for, and `size` at least."""
    total = np.zeros(size, dtype=np.int64)
    for ids in arrays:
        if (lacking := 1 + int(ids.max(initial=-1)) - len(total)) > 0:
            total = np.pad(total, (0, lacking))
        np.add.at(total, ids, 1)
    return total


def _encoded(portions: Iterable[Blocks], old: "PreTrainedTokenizerBase", new: "PreTrainedTokenizerBase") -> Iterator[list[int]]:
    texts = (str(old.decode(document[1:-1])) for document in documents(portions))
    while group := list(islice(texts, DOCUMENTS_AT_ONCE)):
        yield from new(group, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]


def _array(batch: pa.RecordBatch, name: str) -> np.ndarray:
    """A column as an array (blocks, context) over the very bytes of the file, without `to_numpy`, which imports pandas.

    Raises:
        ArrowInvalid: it is none of whole numbers, all of them there.
    """
    column = batch.column(name)
    column.validate()
    if not pa.types.is_fixed_size_list(column.type) or not pa.types.is_integer(column.type.value_type):
        raise pa.ArrowInvalid(f"{name} is {column.type}")
    if column.null_count or column.values.null_count:
        raise pa.ArrowInvalid(f"{name} has gaps")
    shape = len(batch), column.type.list_size
    return np.frombuffer(column.values.buffers()[1], dtype=str(column.type.value_type), count=math.prod(shape)).reshape(shape)
