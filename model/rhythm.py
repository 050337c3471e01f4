"""When to seal a checkpoint: as often as its cost allows, by the clock. What a training comes to is the same whenever it did."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

SHARE = 0.015  # of the time, so that a disk that stalls now and then stays below 2 %
BYTES_PER_SECOND = 100e6  # guessed for the first checkpoint: hashing and a slow disk
SECONDS_MORE = 0.01  # guessed for opening, syncing and renaming


class Rhythm:
    """Counts the seconds that sealing takes; a checkpoint is due when enough training lies between it and the one before."""

    def __init__(self, share: float = SHARE) -> None:
        self.share, self.num_sealed, self.seconds_sealing = share, 0, 0.0
        self._began = self._free_since = perf_counter()
        self._last_cost: float | None = None

    def due(self, num_bytes: int) -> bool:
        """Whether to seal a checkpoint of this size now, to judge by the cost of the last one, or by a guess before the first."""
        cost = num_bytes / BYTES_PER_SECOND + SECONDS_MORE if self._last_cost is None else self._last_cost
        return (perf_counter() - self._free_since) * self.share >= cost * (1 - self.share)

    @contextmanager
    def sealing(self) -> Iterator[None]:
        """Measures what is inside as one checkpoint."""
        began = perf_counter()
        yield
        self._free_since = perf_counter()
        self._last_cost = self._free_since - began
        self.num_sealed += 1
        self.seconds_sealing += self._last_cost

    @property
    def seconds(self) -> float:
        """Since the training began in this process."""
        return perf_counter() - self._began
