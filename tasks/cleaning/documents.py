"""The corpus of a data version in; documents worth training on out: each once, none that a test split holds, for training and validation.

One pass counts the lines of each source, one takes each document through the steps. Only then is known what nearly repeats an earlier
document, so what the steps leave waits in a file.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.errors import UserError
from tasks import tables
from tasks.cleaning import languages, personal, quality
from tasks.cleaning import text as cleaning
from tasks.cleaning.boilerplate import Lines
from tasks.cleaning.contamination import HeldOut, Listing
from tasks.cleaning.distributions import Distributions
from tasks.cleaning.duplicates import Distinct
from tasks.cleaning.near_duplicates import Repetition, Signatures
from tasks.cleaning.steps import Removed, Row, Step, through
from tasks.intake.splits import split_of

if TYPE_CHECKING:
    from tasks.prepare import Params

COLUMNS = ("text", "source", "lang")
SHOWN = 100  # near-duplicates that are sampled beside what they repeat

Rows = Sequence[Row]
After = Iterator[Row | Removed]


def prepare(
    data: Path, out: Path, params: "Params", held_out: HeldOut, listing: Listing, progress: Callable[[int, int], None]
) -> tuple[dict[str, Any], dict[str, float]]:
    """Write `out/train.parquet` and `out/validation.parquet`; returns the report and the numbers.

    Raises:
        UserError: nothing is left for one of them.
    """
    import pyarrow as pa

    files = sorted((data / "corpus").glob("*.parquet"))
    total = 2 * sum(map(tables.num_rows, files))
    schema = pa.schema([(column, pa.string()) for column in COLUMNS])
    taken, left = Distributions(), Distributions()

    work = _Work(params, held_out, listing)
    if params.boilerplate.enabled:
        for done, rows in _portions(files):
            work.count(rows)
            progress(done, total)
    signatures = Signatures(params.near_duplicates)
    waiting = out / "waiting.parquet"
    with tables.Writer(waiting, schema) as writer:
        for done, rows in _portions(files):
            taken.add(rows)
            clean = through(work.steps, rows)
            if params.near_duplicates.enabled:
                signatures.add([row["text"] for row in clean])
            for row in clean:
                writer.add(row)
            progress(total // 2 + done, total)
    repetitions = list(signatures.repetitions())
    steps = [*work.steps, *([_last(repetitions)] if params.near_duplicates.enabled else [])]
    with tables.Writer(out / "train.parquet", schema) as train, tables.Writer(out / "validation.parquet", schema) as validation:
        for rows in tables.batches(waiting):
            clean = through(steps[len(work.steps) :], rows)
            left.add(clean)
            for row in clean:
                (validation if split_of(row["text"], params.validation_share, 0.0) == "validation" else train).add(row)
    waiting.unlink()
    for split, table in (("train", train), ("validation", validation)):
        if not table.num_rows:
            raise UserError(f"data/corpus: no document for {split} is left of {total // 2}; ingest more, or change prepare in params.yaml")
    similar = Counter(repetition.of for repetition in repetitions)
    report: dict[str, Any] = {
        "steps": [step.to_json() for step in steps],
        "in": taken.to_json(),
        "out": left.to_json(),
        "groups": {"duplicates": work.distinct.sizes(), "near_duplicates": Counter(1 + times for times in similar.values())},
    }
    numbers: dict[str, float] = {
        "corpus_train": train.num_rows,
        "corpus_validation": validation.num_rows,
        "corpus_characters": left.num_characters,
    }
    return report, numbers | {f"corpus_removed_{step.name}": step.removed.total() for step in steps}


class _Work:
    """The steps that need no other document but those before, in their order."""

    def __init__(self, params: "Params", held_out: HeldOut, listing: Listing) -> None:
        self._params = params
        self._held_out = held_out
        self._listing = listing
        self.lines = Lines(params.boilerplate)
        self.distinct = Distinct()
        chosen = [
            (params.unicode.enabled, "unicode", self._unicode),
            (params.length.enabled, "length", self._length),
            (params.boilerplate.enabled, "boilerplate", self._boilerplate),
            (params.language.enabled, "language", self._language),
            (params.quality.enabled, "quality", self._quality),
            (params.personal.enabled, "personal", self._personal),
            (params.duplicates.enabled, "duplicates", self._duplicates),
            (params.test_splits.enabled, "test_splits", self._test_splits),
        ]
        self.steps = [Step(name, apply, lambda row: row["text"]) for enabled, name, apply in chosen if enabled]

    def count(self, rows: Rows) -> None:
        """Count the lines of the documents as they come to the step that removes some of them."""
        for enabled, apply in ((self._params.unicode.enabled, self._unicode), (self._params.length.enabled, self._length)):
            if enabled:
                rows = [row for row in apply(rows, Counter()) if not isinstance(row, Removed)]
        self.lines.count(rows)

    def _unicode(self, rows: Rows, found: Counter[str]) -> After:
        for row in rows:
            yield row | {"text": cleaning.normalize(row["text"])}

    def _length(self, rows: Rows, found: Counter[str]) -> After:
        limits = self._params.length
        for row in rows:
            long_enough = len(row["text"]) >= limits.min_characters
            yield row | {"text": row["text"][: limits.max_characters]} if long_enough else Removed("too short", row["text"])

    def _boilerplate(self, rows: Rows, found: Counter[str]) -> After:
        enough = self._params.length.min_characters if self._params.length.enabled else 1
        for row, text in zip(rows, self.lines.strip(rows, found), strict=True):
            yield row | {"text": text} if len(text) >= enough else Removed("too little else", row["text"])

    def _language(self, rows: Rows, found: Counter[str]) -> After:
        for row in rows:
            language, why = languages.verdict(row["text"], row["lang"], self._params.language)
            found[language] += 1
            yield Removed(why, row["text"]) if why else row | {"lang": language}

    def _quality(self, rows: Rows, found: Counter[str]) -> After:
        for row, why in zip(rows, quality.reasons(rows, self._params.quality), strict=True):
            yield Removed(why, row["text"]) if why else row

    def _personal(self, rows: Rows, found: Counter[str]) -> After:
        for row in rows:
            text, kinds = personal.mask(row["text"], self._params.personal.kinds)
            found.update(kinds)
            yield row | {"text": text}

    def _duplicates(self, rows: Rows, found: Counter[str]) -> After:
        for row in rows:
            yield row if self.distinct.is_new(row["text"]) else Removed("came before", row["text"])

    def _test_splits(self, rows: Rows, found: Counter[str]) -> After:
        for row, match in zip(rows, self._held_out.find([[row["text"]] for row in rows]), strict=True):
            if match:
                self._listing.add("corpus", row["source"], row["text"], match)
            yield Removed(f"in the test split of {match.application}", match.passage) if match else row


def _last(repetitions: Sequence[Repetition]) -> Step:
    """The step that removes near-duplicates, of documents in the order of their signatures."""
    known = {each.document: each for each in repetitions}
    shown = dict.fromkeys((each.of for each in repetitions[:SHOWN]), "")
    numbers = count()

    def apply(rows: Rows, found: Counter[str]) -> After:
        for row, number in zip(rows, numbers, strict=False):
            if number in shown:
                shown[number] = row["text"]
            if repeated := known.get(number):
                yield Removed(_step_of(repeated.similarity), row["text"], shown.get(repeated.of))
            else:
                yield row

    return Step("near_duplicates", apply, lambda row: row["text"])


def _step_of(similarity: float) -> str:
    low = min(int(similarity * 20), 19) / 20
    return f"similarity {low:.2f} to {low + 0.05:.2f}"


def _portions(files: Sequence[Path]) -> Iterator[tuple[int, list[Row]]]:
    """All rows, a portion at a time, with how many there have been."""
    done = 0
    for file in files:
        for rows in tables.portions(file, COLUMNS):
            done += len(rows)
            yield done, rows
