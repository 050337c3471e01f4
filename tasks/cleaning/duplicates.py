"""Rows in; whether the same one has come before, out."""

from collections import Counter
from hashlib import blake2b


class Distinct:
    """Remembers 16 bytes of each row, and how often those come that come again."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._again: Counter[bytes] = Counter()

    def is_new(self, key: str) -> bool:
        digest = blake2b(key.encode(), digest_size=16).digest()
        if digest in self._seen:
            self._again[digest] += 1
            return False
        self._seen.add(digest)
        return True

    def sizes(self) -> Counter[int]:
        """How many groups of 2, 3, ... equal rows there were."""
        return Counter(1 + times for times in self._again.values())
