"""Masked-LM substitution (Kobayashi, 2018; Kumar et al., 2020): a base encoder guesses words of the text that it is not shown."""

import re
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from ..words import unspaced
from .text import Changed, Text, cased

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WORD = re.compile(r" [^\W\d_]+")


def changes(
    texts: Sequence[Text],
    randoms: Sequence[Random],
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    share: float,
    choices: int,
    context: int,
    batch_size: int,
) -> list[Changed]:
    """Each text with other words where a word is a single token: one of the `choices` likeliest that are whole words of the same script.

    A text beyond `context` tokens is left as it is there.
    """
    import torch

    from ..backbone import head
    from ..features import Special, by_length, padded

    kinds = _kinds(tokenizer)
    special = Special.of(tokenizer)
    shown = [_masked(text, random, tokenizer, kinds, share, context) for text, random in zip(texts, randoms, strict=True)]
    changed = [text.unchanged for text in texts]
    model.eval()
    with torch.inference_mode():
        for indices in by_length([len(ids) for ids, _ in shown], batch_size):
            batch = padded([{"input_ids": [special.first, *shown[at][0], special.separator]} for at in indices], special.pad)
            holes = [(row, at, place, piece) for row, at in enumerate(indices) for place, piece in shown[at][1]]
            if not holes:
                continue
            inputs = {name: value.to(model.device) for name, value in batch.items()}
            hidden = model.base_model(**inputs).last_hidden_state
            where = torch.tensor([(row, place + 1) for row, _, place, _ in holes], device=hidden.device).T
            scores = head(model, hidden[where[0], where[1]]).float().cpu().numpy()
            for (_, at, _, piece), row in zip(holes, scores, strict=True):
                old = texts[at].pieces[piece]
                if new := _drawn(row, old, kinds, tokenizer, choices, randoms[at]):
                    changed[at][piece] = (cased(new, old), piece)
    return [*changed]


def _kinds(tokenizer: "PreTrainedTokenizerBase") -> np.ndarray:
    """Of each token: 1 for a word with its space, 2 for one of a script without spaces, 0 for all others."""
    from ..masking import token_bytes

    written = [raw.decode("utf-8", "replace") for raw in token_bytes(tokenizer)]
    return np.array([1 if WORD.fullmatch(text) else 2 if text and all(map(unspaced, text)) else 0 for text in written])


def _masked(
    text: Text, random: Random, tokenizer: "PreTrainedTokenizerBase", kinds: np.ndarray, share: float, context: int
) -> tuple[list[int], list[tuple[int, int]]]:
    """The tokens of a text with masks, and (token, piece) of each mask."""
    from ..features import PLAIN

    encoded = tokenizer(text.string, **PLAIN, return_offsets_mapping=True)
    ids, offsets = encoded["input_ids"][: context - 2], encoded["offset_mapping"][: context - 2]
    places = {(right - len(text.string[left:right].lstrip()), right): at for at, (left, right) in enumerate(offsets)}
    spans = {at: (text.offsets[at], text.offsets[at] + len(text.pieces[at])) for at in text.words}
    single = [(places[span], at) for at, span in spans.items() if span in places and kinds[ids[places[span]]]]
    chosen = random.sample(single, min(text.number(share), len(single)))
    for place, _ in chosen:
        ids[place] = tokenizer.mask_token_id
    return ids, chosen


def _drawn(scores: np.ndarray, old: str, kinds: np.ndarray, tokenizer: "PreTrainedTokenizerBase", choices: int, random: Random) -> str:
    """One of the likeliest words of the kind of `old`, by their chances; empty if there is no other."""
    kind = 2 if unspaced(old) else 1
    allowed = np.flatnonzero(kinds[: len(scores)] == kind)
    likeliest = allowed[np.argsort(-scores[allowed], kind="stable")[: choices + 1]]
    words = [str(tokenizer.decode([int(token)])).strip() for token in likeliest]
    others = [(word, float(scores[token])) for word, token in zip(words, likeliest, strict=True) if word.lower() != old.lower()][:choices]
    if not others:
        return ""
    weights = np.exp(np.array([score for _, score in others]) - others[0][1])
    return random.choices([word for word, _ in others], weights.tolist())[0]
