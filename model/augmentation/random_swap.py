"""Random swap (EDA: Wei and Zou, 2019): two words change places, as often as there are words to change."""

from random import Random

from .text import Changed, Text


def change(text: Text, share: float, random: Random) -> Changed:
    """`text` after its swaps."""
    changed, places = text.unchanged, text.words
    if len(places) < 2:
        return changed
    for _ in range(text.number(share)):
        one, other = random.sample(places, 2)
        changed[one], changed[other] = changed[other], changed[one]
    return changed
