"""A data version in; clean, distinct documents and examples, with nothing in them that a test split holds, and a report of it out."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge

from model.errors import UserError
from model.params import STRICT, Positive, Share
from tasks import tables
from tasks.cleaning import documents, personal
from tasks.cleaning import report as quality_report
from tasks.cleaning import text as cleaning
from tasks.cleaning.boilerplate import Boilerplate
from tasks.cleaning.contamination import HeldOut, Listing, Overlap, texts_of
from tasks.cleaning.duplicates import Distinct
from tasks.cleaning.languages import Languages
from tasks.cleaning.near_duplicates import NearDuplicates
from tasks.cleaning.personal import Personal
from tasks.cleaning.quality import Quality
from tasks.cleaning.steps import Removed, Row, Step, through
from tasks.examples import canonical
from tasks.intake.splits import SPLITS
from tasks.session import Session


@dataclass(frozen=True, kw_only=True)
class Switch:
    """A step that has no numbers."""

    __pydantic_config__ = STRICT

    enabled: bool


@dataclass(frozen=True, kw_only=True)
class Length:
    """Section `prepare.length` of params.yaml."""

    __pydantic_config__ = STRICT

    enabled: bool
    min_characters: Annotated[int, Ge(1)]  # shorter documents of the corpus are dropped
    max_characters: Positive  # longer ones are cut


@dataclass(frozen=True, kw_only=True)
class Params:
    """Section `prepare` of params.yaml: a key for each step, in the order of the steps."""

    __pydantic_config__ = STRICT

    unicode: Switch
    length: Length
    boilerplate: Boilerplate
    language: Languages
    quality: Quality
    personal: Personal
    duplicates: Switch
    test_splits: Overlap
    near_duplicates: NearDuplicates
    validation_share: Share  # of the corpus, by the hash of the document
    num_threads: Positive


def run(data: Path, out: Path, *, params: Params, session: Session) -> dict[str, float]:
    """Read `data/corpus` and each application's splits; write the same below `out`, prepared.

    `report.json` and `report.html` say what each step did, `contamination.parquet` lists what test splits hold. A document that shares
    a passage with any test split goes as a whole (readers cut long texts to a few thousand characters), and so does an example for
    training or validation. Test splits are only normalized, freed of personal data and of repetitions.
    """
    import pyarrow as pa

    pa.set_cpu_count(params.num_threads)
    os.environ["RAYON_NUM_THREADS"] = str(params.num_threads)  # of rensa; read when it first runs
    names = sorted(file.parent.name for file in data.glob("*/test.parquet"))
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    held_out = HeldOut(tests(data, names, params), params.test_splits)
    with Listing(out / "contamination.parquet") as listing:
        corpus, numbers = documents.prepare(data, out / "corpus", params, held_out, listing, session.progress)
        report: dict[str, Any] = {"corpus": corpus, "applications": {}}
        for name in names:
            report["applications"][name], rows = _application(data, out, name, params, held_out, listing)
            numbers |= {f"{name}_{split}": count for split, count in rows.items()}
    _checkpoints(data / "pretrained", out / "pretrained")
    _write_json(out / "report.json", report)
    (out / "report.html").write_text(quality_report.page(report), encoding="utf-8")
    return numbers


def tests(data: Path, names: Sequence[str], params: Params) -> Iterator[tuple[str, list[list[str]]]]:
    """The texts of all test splits, cleaned as what they are compared with."""
    for name in names:
        for rows in tables.portions(data / name / "test.parquet"):
            yield name, [texts_of(row) for row in through(_cleaning(params), rows)]


def _application(
    data: Path, out: Path, name: str, params: Params, held_out: HeldOut, listing: Listing
) -> tuple[dict[str, Any], dict[str, int]]:
    distinct = Distinct()
    report: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for split in reversed(SPLITS):  # of a repetition, the one for testing stays
        file = data / name / f"{split}.parquet"
        steps = _cleaning(params)
        if params.duplicates.enabled:
            steps.append(Step("duplicates", partial(_once, distinct=distinct), canonical))
        if params.test_splits.enabled and split != "test":
            part = f"{name}/{split}"
            steps.append(Step("test_splits", partial(_free, held_out=held_out, listing=listing, part=part), canonical))
        rows = (row for portion in tables.portions(file) for row in through(steps, portion))
        counts[split] = tables.write(out / name / file.name, rows, tables.schema(file))
        if not counts[split]:
            raise UserError(f"{file}: none of its {steps[0].taken} rows is left for {split}; ingest more for {name}")
        report[split] = [step.to_json() for step in steps]
    _write_json(out / name / "sources.json", _sources(data, name))
    return report, counts


def _cleaning(params: Params) -> list[Step]:
    """The steps that an example of any split goes through."""

    def normal(rows: Sequence[Row], found: Counter[str]) -> Iterator[Row | Removed]:
        for row in rows:
            yield cleaning.clean_row(row, cleaning.normalize) or Removed("an answer is no longer in its context", canonical(row))

    def masked(rows: Sequence[Row], found: Counter[str]) -> Iterator[Row | Removed]:
        def mask(text: str) -> str:
            clean, kinds = personal.mask(text, params.personal.kinds)
            found.update(kinds)
            return clean

        for row in rows:
            yield cleaning.clean_row(row, mask) or Removed("an answer is in personal data", canonical(row))

    chosen = [(params.unicode.enabled, "unicode", normal), (params.personal.enabled, "personal", masked)]
    return [Step(name, apply, canonical) for enabled, name, apply in chosen if enabled]


def _once(rows: Sequence[Row], found: Counter[str], distinct: Distinct) -> Iterator[Row | Removed]:
    for row in rows:
        key = canonical(row)
        yield row if distinct.is_new(key) else Removed("came before", key)


def _free(rows: Sequence[Row], found: Counter[str], held_out: HeldOut, listing: Listing, part: str) -> Iterator[Row | Removed]:
    for row, match in zip(rows, held_out.find([texts_of(row) for row in rows]), strict=True):
        if match:
            listing.add(part, None, canonical(row), match)
        yield Removed(f"in the test split of {match.application}", match.passage) if match else row


def _checkpoints(data: Path, out: Path) -> None:
    """Hand on the pretrained checkpoints, if any were ingested, with a list of them, so that there is always something to depend on."""
    if data.is_dir():
        shutil.copytree(data, out)
    out.mkdir(exist_ok=True)
    _write_json(out / "checkpoints.json", sorted(folder.name for folder in out.iterdir() if folder.is_dir()))


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
