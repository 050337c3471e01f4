"""The corpus of a project in; one of any size out, made by repetition with variation: the same for the same seed.

`python -m benchmarks.big_corpus DATA OUT.jsonl --megabytes 1000` (or OUT.parquet), DATA being the `data/` of a project.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tasks import tables
from tasks.intake import columns

Row = dict[str, Any]

# How often a document is repeated in which way, and the share of its words that give way to others of its source.
VARIATIONS = {"copy": (0.05, 0.0), "near copy": (0.10, 0.02), "other text": (0.85, 0.6)}
CHUNK = re.compile(r"[\u3040-\u9fff]|[^\s\u3040-\u9fff]+|\s+")  # a Chinese character, a word, or what parts words


def documents(corpus: Path, num_bytes: int, seed: int = 1) -> Iterator[Row]:
    """Rows of the corpus until their texts have `num_bytes` in UTF-8: all of `corpus/*.parquet` first, then variations of them."""
    originals = [row for file in sorted(corpus.glob("*.parquet")) for row in tables.rows(file)]
    left = num_bytes
    for row in _varied(originals, np.random.default_rng(seed)):
        if left <= 0:
            return
        left -= len(row["text"].encode())
        yield row


def write(file: Path, rows: Iterable[Row]) -> int:
    """Write rows as JSON lines or Parquet, by the ending of `file`, and say how many there were."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".parquet":
        return tables.write(file, rows, columns.corpus())
    with file.open("w", encoding="utf-8") as stream:
        return sum(stream.write(json.dumps(row, ensure_ascii=False) + "\n") > 0 for row in rows)


def _varied(originals: list[Row], random: np.random.Generator) -> Iterator[Row]:
    yield from originals
    chunks = [CHUNK.findall(row["text"]) for row in originals]
    words: dict[str, list[str]] = {}  # of each source, as often as they stand in it
    for row, found in zip(originals, chunks, strict=True):
        words.setdefault(row["source"], []).extend(found[:200])
    words = {source: [word for word in found if not word.isspace()] for source, found in words.items()}
    kinds = np.array([kind for kind, _ in VARIATIONS.values()])
    shares = [share for _, share in VARIATIONS.values()]
    while True:
        drawn = random.choice(len(shares), size=len(originals), p=kinds)
        for place in random.permutation(len(originals)).tolist():
            row = originals[place]
            yield row | {"text": _replaced(chunks[place], words[row["source"]], shares[drawn[place]], random)}


def _replaced(chunks: list[str], words: list[str], share: float, random: np.random.Generator) -> str:
    changed = list(chunks)
    where = np.flatnonzero(random.random(len(chunks)) < share).tolist()
    for place, other in zip(where, random.integers(len(words), size=len(where)).tolist(), strict=True):
        if not changed[place].isspace():
            changed[place] = words[other]
    return "".join(changed)


def made(file: Path, data: Path, megabytes: float) -> None:
    """Write one in a process of its own: the peak of a process that is measured counts what its parent held when it was begun."""
    command = [sys.executable, "-m", "benchmarks.big_corpus", str(data), str(file), "--megabytes", f"{megabytes:g}"]
    subprocess.run(command, check=True, stdout=sys.stderr)


def main() -> None:
    """See the first lines of this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    write(given.out, documents(given.data / "corpus", round(given.megabytes * 1e6), given.seed))


if __name__ == "__main__":
    main()
