"""Random deletion (EDA: Wei and Zou, 2019): each word goes with the same chance, and one of them stays."""

from random import Random

from .text import Changed, Text


def change(text: Text, share: float, random: Random) -> Changed:
    """`text` without the words that went, and without the space before each."""
    places = text.words
    gone = {at for at in places if random.random() < share}
    if len(gone) == len(places) and not text.fixed:
        gone -= {random.choice(places)} if places else set()
    for at in sorted(gone):
        beside = next((near for near in (at - 1, at + 1) if _is_space(text, near) and near not in gone), None)
        gone |= set() if beside is None else {beside}
    return [(piece, at) for piece, at in text.unchanged if at not in gone]


def _is_space(text: Text, at: int) -> bool:
    return 0 <= at < len(text.pieces) and at not in text.fixed and text.pieces[at].isspace()
