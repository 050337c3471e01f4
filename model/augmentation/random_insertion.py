"""Random insertion (EDA: Wei and Zou, 2019): a neighbour of some word of the text comes in behind another."""

from random import Random

from .synonym import Near
from .text import Changed, Text


def change(text: Text, share: float, random: Random, near: Near) -> Changed:
    """`text` with as many new words as are to be changed."""
    known = [words for at in text.words if (words := near(text.pieces[at].lower()))]
    if not known:
        return text.unchanged
    places = text.words
    new: dict[int, list[tuple[str, int | None]]] = {}
    for _ in range(text.number(share)):
        at = random.choice(places)
        new.setdefault(at, []).extend(text.after(at, random.choice(random.choice(known))))
    return [piece for at, old in enumerate(text.unchanged) for piece in (old, *new.get(at, ()))]
