"""Which split an example belongs to: a function of its hash, so that nothing moves between splits when data grows."""

import hashlib
from typing import Literal

Split = Literal["train", "validation", "test"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def split_of(key: str, validation_share: float, test_share: float) -> Split:
    """The split of an example with this split key; shares are of all examples, by hash."""
    place = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) / 2**64
    if place < test_share:
        return "test"
    return "validation" if place < test_share + validation_share else "train"
