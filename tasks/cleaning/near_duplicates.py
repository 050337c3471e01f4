"""Documents in; which of them nearly repeat an earlier one, out: MinHash (Broder, 1997) in bands (Leskovec et al., 2014, chapter 3).

A document is the set of its runs of words, and of characters of scripts written without spaces. Documents that agree in all the hashes of a
band are candidates; a candidate is a near-duplicate if enough of all its hashes agree with those of a document that stays. Of a document,
the hashes of bands (8 bytes each) and one byte of each hash (Li and König, 2010) are kept, not its text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from model.params import STRICT, Positive, Share
from tasks.cleaning import units
from tasks.cleaning.units import Numbers

SEED = 1
CHANCE = 1 / 256  # that one byte of two different hashes agrees


@dataclass(frozen=True, kw_only=True)
class NearDuplicates:
    """Section `prepare.near_duplicates` of params.yaml."""

    __pydantic_config__ = STRICT

    enabled: bool
    words: Positive  # in a run
    characters: Positive  # in a run, of scripts written without spaces
    bands: Positive
    rows: Positive  # hashes in a band
    similarity: Share  # Jaccard similarity from which a document is a near-duplicate
    max_candidates: Positive  # of one band, that a document is compared with


@dataclass(frozen=True)
class Repetition:
    """A document, the one before it that it nearly repeats, and how similar they are, by estimate."""

    document: int
    of: int
    similarity: float


class Signatures:
    """The signatures of documents, numbered as they are added."""

    def __init__(self, rules: NearDuplicates) -> None:
        self._rules = rules
        self._bands: list[np.ndarray] = []
        self._bytes: list[np.ndarray] = []
        self._num = 0

    def add(self, texts: Sequence[str]) -> None:
        """Add some documents; those too short for a run are like no other."""
        from rensa import RMinHash

        shingles, bounds = _shingles(texts, self._rules)
        num_hashes = self._rules.bands * self._rules.rows
        rows = RMinHash.digest_matrix_from_flat_token_hashes(shingles, bounds, num_hashes, SEED).to_rows()
        hashes = np.array(rows, np.uint64).reshape(len(texts), self._rules.bands, self._rules.rows)
        bands = np.zeros(hashes.shape[:2], np.uint64)
        for row in range(self._rules.rows):
            bands = units.mixed(bands ^ hashes[:, :, row])
        empty = np.flatnonzero(np.diff(bounds) == 0)
        bands[empty] = units.mixed(np.arange(self._num, self._num + len(texts), dtype=np.uint64))[empty, None]
        self._bands.append(bands)
        self._bytes.append(hashes.reshape(len(texts), num_hashes).astype(np.uint8))
        self._num += len(texts)

    def repetitions(self) -> Iterator[Repetition]:
        """The documents that nearly repeat an earlier one which is no repetition itself."""
        if not self._num:
            return
        signatures = np.concatenate(self._bytes)
        buckets = _buckets(np.concatenate(self._bands))
        stay: dict[int, list[int]] = {}  # of the documents in a bucket, those that stay
        for document in np.flatnonzero((buckets >= 0).any(axis=1)).tolist():
            own = [bucket for bucket in buckets[document].tolist() if bucket >= 0]
            candidates = sorted({candidate for bucket in own for candidate in stay.get(bucket, ())})
            if candidates:
                agree = (signatures[candidates] == signatures[document]).mean(axis=1)
                similarity = (agree - CHANCE) / (1 - CHANCE)
                best = int(similarity.argmax())
                if similarity[best] >= self._rules.similarity:
                    yield Repetition(document, candidates[best], round(float(similarity[best]), 4))
                    continue
            for bucket in own:
                if len(members := stay.setdefault(bucket, [])) < self._rules.max_candidates:
                    members.append(document)


def _shingles(texts: Sequence[str], rules: NearDuplicates) -> tuple[Numbers, np.ndarray]:
    """The runs of each text, and where those of each begin."""
    parts = [
        (*all_units.runs(size), all_units.owners)
        for all_units, size in ((units.words(texts), rules.words), (units.characters(texts), rules.characters))
    ]
    owners = np.concatenate([owners[begins] for _, begins, owners in parts])
    order = np.argsort(owners, kind="stable")
    counts = np.bincount(owners, minlength=len(texts))
    return np.concatenate([hashes for hashes, _, _ in parts])[order], np.concatenate([[0], np.cumsum(counts)]).astype(np.uint64)


def _buckets(bands: np.ndarray) -> np.ndarray:
    """The number of the bucket of each document in each band; -1 where it is alone."""
    buckets = np.full(bands.shape, -1, np.int32)
    first = 0
    for band in range(bands.shape[1]):
        _, own, counts = np.unique(bands[:, band], return_inverse=True, return_counts=True)
        numbers = np.where(counts > 1, np.cumsum(counts > 1) - 1 + first, -1)
        buckets[:, band] = numbers[own]
        first += int((counts > 1).sum())
    return buckets
