"""Back-translation (Sennrich et al., 2016; as augmentation Yu et al., 2018): a text in other words, by way of another language."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..generation import answer, direction_prompt
from ..params import Decoding
from ..words import sentences, unspaced

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def language(text: str) -> str:
    """`zh` if most letters are of a script without spaces, else `en`."""
    letters = [letter for letter in text if letter.isalpha()]
    return "zh" if 2 * sum(map(unspaced, letters)) > len(letters) else "en"


def pivots(directions: Sequence[str]) -> dict[str, str]:
    """The language to go by from each language that a model with these directions (`en > zh`) knows the way from, and back."""
    ways = [tuple(direction.split(" > ")) for direction in sorted(directions)]
    return {there: back for there, back in reversed(ways) if (back, there) in ways}


def translated(
    texts: Sequence[str],
    by_way_of: Sequence[str],
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    context: int,
    batch_size: int,
) -> list[str]:
    """Each text, sentence by sentence, into the language beside it and back, greedily; a sentence that comes back empty stays out."""
    greedy = Decoding(max_new_tokens=context // 2, strategy="greedy", num_beams=1, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=0)
    homes = [language(text) for text in texts]
    cut = [(at, sentence) for at, text in enumerate(texts) for sentence in sentences(text)]
    for out in (True, False):
        prompts = [direction_prompt(text, *((homes[at], by_way_of[at]) if out else (by_way_of[at], homes[at]))) for at, text in cut]
        cut = [(at, told) for (at, _), told in zip(cut, answer(model, tokenizer, prompts, context, batch_size, greedy), strict=True)]
    parts: list[list[str]] = [[] for _ in texts]
    for at, sentence in cut:
        parts[at] += [sentence] if sentence else []
    return [("" if home == "zh" else " ").join(part) for home, part in zip(homes, parts, strict=True)]
