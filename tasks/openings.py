"""The first words of the texts in a batch, for a person who is to find them in the data."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedTokenizerBase

TOKENS = 12  # of a text
TEXTS = 6


def openings(tokenizer: "PreTrainedTokenizerBase", tokens: "np.ndarray", documents: "np.ndarray") -> str:
    """How the documents of a batch begin: token ids and document indices (padding: negative), each (rows, tokens).

    A document that goes on from the block before is quoted from where this block has it.
    """
    quoted = [
        f'"{" ".join(str(tokenizer.decode(text[:TOKENS], skip_special_tokens=True)).split())}..."' for text in _texts(tokens, documents)
    ]
    more = len(quoted) - TEXTS
    return ", ".join(quoted[:TEXTS]) + (f" and {more} more" if more > 0 else "")


def _texts(tokens: "np.ndarray", documents: "np.ndarray") -> "Iterator[np.ndarray]":
    import numpy as np

    for row, indices in zip(tokens, documents, strict=True):
        for index in np.unique(indices[indices >= 0]):
            yield row[indices == index]
