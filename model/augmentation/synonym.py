"""Synonym replacement (EDA: Wei and Zou, 2019), with neighbours in embeddings of the corpus for synonyms (Wang and Yang, 2015).

Words are near that stand in the same company: that is not always the same meaning, and may be the opposite.
"""

from collections.abc import Callable, Sequence
from random import Random

from .text import Changed, Text, cased

Near = Callable[[str], Sequence[str]]  # the nearest words to a word, in small letters; none if it is not known


def change(text: Text, share: float, random: Random, near: Near) -> Changed:
    """`text` with neighbours for as many of its known words as are to be changed."""
    changed = text.unchanged
    places = text.words
    random.shuffle(places)
    known = [(at, words) for at in places if (words := near(text.pieces[at].lower()))]
    for at, words in known[: text.number(share)]:
        changed[at] = (cased(random.choice(words), text.pieces[at]), at)
    return changed
