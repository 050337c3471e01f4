"""What `prepare` takes for near-duplicates, beside exact Jaccard similarity, on a sample.

`python -m benchmarks.near_duplicates DATA [--documents 1000] [--seed 1]`: documents of DATA's corpus and two copies of each, in which up to
a tenth of the words is changed. Exact: in order, a document goes if it is similar enough to one before it that stays.
"""

import argparse
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from benchmarks import plain
from tasks import params, prepare, tables
from tasks.cleaning import near_duplicates

CHANGED = (0.0005, 0.1)  # the share of words, drawn evenly in its logarithm
NEAR = 0.05  # to the threshold: where an estimate cannot be sure


def sample(corpus: Path, num_documents: int, seed: int) -> list[str]:
    """Documents and changed copies of them, in any order."""
    draw = random.Random(seed)
    texts = [row["text"] for file in sorted(corpus.glob("*.parquet")) for row in tables.rows(file, ["text"])]
    originals = draw.sample([text for text in texts if len(text) >= 400], num_documents)
    copies = [_changed(text, CHANGED[0] * (CHANGED[1] / CHANGED[0]) ** draw.random(), draw) for text in originals * 2]
    both = originals + copies
    draw.shuffle(both)
    return both


def measure(texts: Sequence[str], rules: near_duplicates.NearDuplicates) -> dict[str, float]:
    """Recall and precision of what goes, of all documents and of those that are not near the threshold."""
    runs = [plain.runs(text, rules.words, rules.characters) for text in texts]
    goes, closest = _exact(runs, rules.similarity)
    signatures = near_duplicates.Signatures(rules)
    for start in range(0, len(texts), 100):
        signatures.add(texts[start : start + 100])
    found = {repetition.document for repetition in signatures.repetitions()}
    clear = {document for document, similarity in enumerate(closest) if abs(similarity - rules.similarity) > NEAR}
    errors = [abs(one.similarity - _jaccard(runs[one.document], runs[one.of])) for one in signatures.repetitions()]
    return {
        "documents": len(texts),
        "exact": len(goes),
        "found": len(found),
        "recall": len(found & goes) / len(goes),
        "precision": len(found & goes) / len(found),
        "clear": len(clear),
        "clear_recall": len(found & goes & clear) / len(goes & clear),
        "clear_precision": len(found & goes & clear) / len(found & clear),
        "mean_error": sum(errors) / len(errors),
    }


def _exact(runs: Sequence[set[str]], similarity: float) -> tuple[set[int], list[float]]:
    """Which documents go, and how similar each is to the most similar one before it that stays."""
    staying: dict[str, list[int]] = defaultdict(list)
    goes: set[int] = set()
    closest = []
    for document, own in enumerate(runs):
        shared: dict[int, int] = defaultdict(int)
        for run in own:
            for other in staying[run]:
                shared[other] += 1
        best = max((count / (len(own) + len(runs[other]) - count) for other, count in shared.items()), default=0.0)
        closest.append(best)
        if best >= similarity:
            goes.add(document)
        else:
            for run in own:
                staying[run].append(document)
    return goes, closest


def _jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)


def _changed(text: str, share: float, draw: random.Random) -> str:
    pieces = plain.PIECE.findall(text)
    return "".join(draw.choice(pieces) if not piece.isspace() and draw.random() < share else piece for piece in pieces)


def main() -> None:
    """See the first lines of this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    numbers = params.build(prepare.Params, params.section(params.read(Path("params.yaml")), "prepare"), "prepare")
    for name, value in measure(sample(given.data / "corpus", given.documents, given.seed), numbers.near_duplicates).items():
        print(f"{name}: {value:.4g}")  # noqa: T201


if __name__ == "__main__":
    main()
