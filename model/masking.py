"""Which tokens of packed blocks a masked language model has to guess, and what it sees in their place.

Words are found when a batch is made, from the bytes of its tokens: that costs what is looked at and nothing more, and needs no second copy
of the corpus.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from .errors import UserError
from .params import Span
from .vocabulary import IGNORED
from .words import pieces, unspaced

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Kind = Literal["token", "whole_word", "span"]


class Masking:
    """Dynamic masking (Liu et al., 2019): drawn anew for each batch, from the seed and the batch's index alone."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", kind: Kind, probability: float, span: Span, seed: int) -> None:
        self.kind, self.probability, self.span, self.seed = kind, probability, span, seed
        self.mask = tokenizer.mask_token_id
        self.special = tokenizer.all_special_ids
        self.ordinary = np.setdiff1d(np.arange(len(tokenizer)), self.special)
        self.words = None if kind == "token" else Words(tokenizer)

    def __call__(self, tokens: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and labels (blocks, context) of batch `index`. Of what is chosen 80 % is masked, 10 % replaced by any token, 10 % left.

        That is drawn for each token (Devlin et al., 2019), or for each span as a whole (Joshi et al., 2020). A negative index is of
        validation, which always guesses single tokens: its loss compares bases whatever they were trained with.
        """
        random = np.random.default_rng((self.seed, int(index < 0), abs(index)))
        if self.words is None or index < 0:
            chosen = (random.random(tokens.shape) < self.probability) & ~np.isin(tokens, self.special)
            fate = random.random(tokens.shape)
        elif self.kind == "whole_word":
            words = self.words(tokens)
            chosen = (random.random(words.max() + 2) < self.probability)[words] & (words >= 0)
            fate = random.random(tokens.shape)
        else:
            spans = choose_spans(self.words(tokens), self.probability, self.span, random)
            chosen = spans >= 0
            fate = random.random(spans.max() + 2)[spans]
        others = random.choice(self.ordinary, tokens.shape)
        replaced = np.where(fate < 0.8, self.mask, np.where(fate < 0.9, others, tokens))
        return np.where(chosen, replaced, tokens), np.where(chosen, tokens, IGNORED)


class Words:
    """The words that tokens are parts of, by the tokenizer's bytes: `pieces` of the text they make, each with the space before it."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self.bytes = token_bytes(tokenizer)
        self.special = tokenizer.all_special_ids

    def __call__(self, tokens: np.ndarray) -> np.ndarray:
        """For each token (blocks, context) the number of its word, counted through the batch; -1 for special tokens.

        A token that ends in the middle of a word, or holds parts of two, makes one word of all it touches. Special tokens and the ends of
        a block part words.
        """
        ordinary = ~np.isin(tokens, self.special)
        starts = np.ones(tokens.shape, dtype=bool)
        for block, plain in enumerate(ordinary):
            edges = np.flatnonzero(np.diff(plain, prepend=False, append=False))
            for start, end in zip(edges[::2], edges[1::2], strict=True):
                starts[block, start:end] = self._starts(tokens[block, start:end])
        words = np.cumsum((starts & ordinary).ravel()).reshape(tokens.shape) - 1
        return np.where(ordinary, words, -1)

    def _starts(self, tokens: np.ndarray) -> np.ndarray:
        """Where a word begins in a run of ordinary tokens; a broken character at its ends counts byte by byte."""
        parts = [self.bytes[token] for token in tokens]
        begins, at = {0}, 0
        for word in _with_space(pieces(b"".join(parts).decode("utf-8", "surrogateescape"))):
            at += len(word.encode("utf-8", "surrogateescape"))
            begins.add(at)
        offsets = np.cumsum([0, *(len(part) for part in parts[:-1])])
        return np.array([offset in begins for offset in offsets.tolist()])


def choose_spans(words: np.ndarray, probability: float, span: Span, random: np.random.Generator) -> np.ndarray:
    """SpanBERT's choice (Joshi et al., 2020, section 3.1): the number of each token's span (blocks, context), -1 outside of all.

    Lengths are in words, geometric with `span.stop` and cut off beyond `span.longest`, starts are uniform over the words not chosen yet;
    spans are added until `probability` of a block's ordinary tokens is reached. The word that would pass it is taken or left by chance, so
    that the mean is exact. A span ends before a special token or another span.
    """
    lengths = span.stop * (1 - span.stop) ** np.arange(span.longest)
    odds = np.cumsum(lengths / lengths.sum())
    spans = np.full(words.shape, -1)
    number = 0
    for block, row in enumerate(words):
        places = np.flatnonzero(row >= 0)
        _, first, sizes = np.unique(row[places], return_index=True, return_counts=True)
        first = places[first]
        budget, free = round(probability * len(places)), np.ones(len(first), dtype=bool)
        while budget > 0:
            word = int(random.choice(np.flatnonzero(free)))
            for _ in range(1 + int(np.searchsorted(odds, random.random(), side="right"))):
                if sizes[word] > budget and random.random() >= budget / sizes[word]:
                    budget = 0
                    break
                free[word] = False
                end = first[word] + sizes[word]
                spans[block, first[word] : end] = number
                budget -= int(sizes[word])
                word += 1
                if budget <= 0 or word == len(first) or not free[word] or first[word] != end:
                    break
            number = max(number, int(spans[block].max()) + 1)
    return spans


def token_bytes(tokenizer: "PreTrainedTokenizerBase") -> list[bytes]:
    """What each token of a vocabulary writes, a space before it where it begins a word; nothing for ids that are not there.

    Raises:
        UserError: the tokenizer is neither byte-level BPE, nor WordPiece, nor SentencePiece.
    """
    kind = type(tokenizer.backend_tokenizer.decoder).__name__
    vocabulary = tokenizer.get_vocab()
    written = [b""] * (max(vocabulary.values()) + 1)
    match kind:
        case "ByteLevel":
            values = {character: byte for byte, character in enumerate(_byte_characters())}
            for token, index in vocabulary.items():
                written[index] = bytes(values[character] for character in token if character in values)
        case "WordPiece":
            for token, index in vocabulary.items():
                text = token.removeprefix("##") if token.startswith("##") else token if unspaced(token) else f" {token}"
                written[index] = text.encode()
        case "Metaspace":
            for token, index in vocabulary.items():
                written[index] = token.replace("▁", " ").encode()
        case _:
            raise UserError(f"params.yaml: pretrain: masking: the words of a tokenizer with decoder {kind} are not known; set it to token")
    return written


def _byte_characters() -> Iterator[str]:
    """What byte-level tokenizers write for each byte (Radford et al., 2019): itself where it prints, else one after U+00FF."""
    extra = 256
    for byte in range(256):
        prints = 33 <= byte <= 126 or 161 <= byte <= 172 or byte >= 174
        yield chr(byte if prints else extra)
        extra += not prints


def _with_space(cut: Sequence[str]) -> Iterator[str]:
    """The same pieces, space joined to what follows it."""
    space = ""
    for piece in cut:
        if piece.isspace():
            space += piece
        else:
            yield space + piece
            space = ""
    if space:
        yield space
