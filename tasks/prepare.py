"""A data version in; clean, distinct documents and examples out, with nothing in them that a test split holds."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from model.errors import UserError
from model.params import STRICT, Positive, Share
from tasks import cleaning, tables
from tasks.examples import canonical
from tasks.session import Session
from tasks.splits import split_of

if TYPE_CHECKING:
    from tasks.overlap import Passages

Row = dict[str, Any]

SAMPLES = 5  # of what a step removes, in the report
SAMPLE_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True)
class Params:
    """Section `prepare` of params.yaml."""

    __pydantic_config__ = STRICT

    min_characters: Annotated[int, Ge(1)]  # shorter documents of the corpus are dropped
    max_characters: Positive  # longer ones are cut
    validation_share: Share  # of the corpus, by the hash of the document
    num_threads: Positive


class Step:
    """One thing done to every row; counts what it removes, and keeps samples of that."""

    def __init__(self, name: str, apply: Callable[[Row], Row | str]) -> None:
        """`apply` gives the row to go on with, or the text that shows why it goes."""
        self.name = name
        self.apply = apply
        self.taken = self.removed = 0
        self.samples: list[str] = []

    def __call__(self, row: Row) -> Row | None:
        self.taken += 1
        after = self.apply(row)
        if not isinstance(after, str):
            return after
        self.removed += 1
        if len(self.samples) < SAMPLES:
            self.samples.append(after[:SAMPLE_CHARACTERS])
        return None

    def to_json(self) -> dict[str, Any]:
        return {"step": self.name, "in": self.taken, "out": self.taken - self.removed, "removed": self.removed, "samples": self.samples}


def run(data: Path, out: Path, *, params: Params, session: Session) -> dict[str, float]:
    """Read `data/corpus` and each application's splits; write the same below `out`, prepared, and `out/report.json`.

    A document that shares a passage with any test split goes as a whole (readers cut long texts to a few thousand characters), and so does
    an example for training or validation. Test splits are only normalized and freed of repetitions.
    """
    import pyarrow as pa

    from tasks.overlap import Passages, texts_of

    pa.set_cpu_count(params.num_threads)
    names = sorted(file.parent.name for file in data.glob("*/test.parquet"))
    shutil.rmtree(out, ignore_errors=True)
    tests = (row for name in names for row in tables.rows(data / name / "test.parquet"))
    passages = Passages(texts_of(clean) for row in tests if (clean := cleaning.normalize_row(row)))
    session.progress(1, len(names) + 2)

    report: dict[str, Any] = {}
    report["corpus"], numbers = _corpus(data, out / "corpus", params, passages)
    for done, name in enumerate(names, 2):
        session.progress(done, len(names) + 2)
        report[name], rows = _application(data, out, name, passages)
        numbers |= {f"{name}_{split}": count for split, count in rows.items()}
    _checkpoints(data / "pretrained", out / "pretrained")
    _write_json(out / "report.json", report)
    return numbers


def _corpus(data: Path, out: Path, params: Params, passages: "Passages") -> tuple[list[dict[str, Any]], dict[str, float]]:
    import pyarrow as pa

    def measure(row: Row) -> Row | str:
        return row | {"text": row["text"][: params.max_characters]} if len(row["text"]) >= params.min_characters else row["text"]

    steps = [
        Step("unicode", lambda row: row | {"text": cleaning.normalize(row["text"])}),
        Step("length", measure),
        Step("duplicates", _distinct(lambda row: row["text"])),
        Step("test splits", lambda row: passages.find([row["text"]]) or row),
    ]
    schema = pa.schema([(column, pa.string()) for column in ("text", "source", "lang")])
    characters = 0
    with tables.Writer(out / "train.parquet", schema) as train, tables.Writer(out / "validation.parquet", schema) as validation:
        for file in sorted((data / "corpus").glob("*.parquet")):
            for row in _through(steps, tables.rows(file, ["text", "source", "lang"])):
                row["lang"] = row["lang"] or cleaning.language(row["text"])
                characters += len(row["text"])
                (validation if split_of(row["text"], params.validation_share, 0.0) == "validation" else train).add(row)
    for split, writer in (("train", train), ("validation", validation)):
        if not writer.num_rows:
            raise UserError(
                f"data/corpus: no document for {split} is left of {steps[0].taken}; ingest more, or change prepare in params.yaml"
            )
    numbers: dict[str, float] = {"corpus_train": train.num_rows, "corpus_validation": validation.num_rows, "corpus_characters": characters}
    removed = {f"corpus_removed_{step.name.replace(' ', '_')}": step.removed for step in steps[1:]}
    return [step.to_json() for step in steps], numbers | removed


def _application(data: Path, out: Path, name: str, passages: "Passages") -> tuple[dict[str, list[dict[str, Any]]], dict[str, int]]:
    from tasks.overlap import texts_of

    distinct = _distinct(canonical)
    report, counts = {}, {}
    for split in ("test", "validation", "train"):  # of a repetition, the one for testing stays
        file = data / name / f"{split}.parquet"
        steps = [Step("unicode", lambda row: cleaning.normalize_row(row) or str(row)), Step("duplicates", distinct)]
        if split != "test":
            steps.append(Step("test splits", lambda row: passages.find(texts_of(row)) or row))
        counts[split] = tables.write(out / name / file.name, _through(steps, tables.rows(file)), tables.schema(file))
        if not counts[split]:
            raise UserError(f"{file}: none of its {steps[0].taken} rows is left for {split}; ingest more for {name}")
        report[split] = [step.to_json() for step in steps]
    _write_json(out / name / "sources.json", _sources(data, name))
    return report, counts


def _checkpoints(data: Path, out: Path) -> None:
    """Hand on the pretrained checkpoints, if any were ingested, with a list of them, so that there is always something to depend on."""
    if data.is_dir():
        shutil.copytree(data, out)
    out.mkdir(exist_ok=True)
    _write_json(out / "checkpoints.json", sorted(folder.name for folder in out.iterdir() if folder.is_dir()))


def _through(steps: list[Step], rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        kept: Row | None = row
        for step in steps:
            if kept is not None:
                kept = step(kept)
        if kept is not None:
            yield kept


def _distinct(key: Callable[[Row], str]) -> Callable[[Row], Row | str]:
    """Lets a row through the first time; remembers 16 bytes of each."""
    seen: set[bytes] = set()

    def apply(row: Row) -> Row | str:
        digest = hashlib.blake2b(key(row).encode(), digest_size=16).digest()
        if digest in seen:
            return key(row)
        seen.add(digest)
        return row

    return apply


def _sources(data: Path, name: str) -> dict[str, Any]:
    """Where an application's examples come from, and whether any are of our own making."""
    file = data / "sources.json"
    if not file.exists():  # data of the user's own making
        return {"synthetic": False, "sources": []}
    known = json.loads(file.read_text(encoding="utf-8"))["sources"]
    own = {source: entry for source, entry in sorted(known.items()) if entry["target"] == name}
    return {"synthetic": any(entry["synthetic"] for entry in own.values()), "sources": list(own)}


def _write_json(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, ensure_ascii=False, indent=2, sort_keys=True) + "\n", encoding="utf-8")
