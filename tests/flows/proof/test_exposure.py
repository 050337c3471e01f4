"""Where a source or a record went: found in the objects of the cache, with nothing checked out."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from flows import workspace
from flows.data import versions as data_versions
from flows.history.git import git
from flows.proof import exposure
from flows.proof.exposure import Exposure
from tasks import tables, tracking
from tasks.intake import columns

from ..conftest import commit

pytestmark = pytest.mark.e2e  # lifecycles of a real DVC and git repository

TEXT = pa.schema([("text", pa.string()), ("label", pa.string())])
KEPT, GONE, JUDGED = "A film that I would see again.", "The same words as in a test.", "The hall was cold and loud."
SPEECH = "It was a long speech. Nobody had asked for it at all. Then they went home."

Ask = Callable[[str], Exposure]


@pytest.fixture
def ask(project: Path, empty_database: Path) -> Ask:
    """A data version with a model of each of two applications, and what `prepare` left of it."""
    prepared = into_cache(project, {"sentiment/train": [KEPT], "sentiment/test": [JUDGED]}, ["Nobody had asked for it at all."])
    data = into_cache(project, {"sentiment/train": [KEPT, GONE], "sentiment/test": [JUDGED]}, [SPEECH])
    commit(project, "data")
    (project / ".stemma/mlflow").mkdir(parents=True, exist_ok=True)
    shutil.copy(empty_database, project / ".stemma/mlflow/mlflow.db")
    client = tracking.connect(project)
    origin = {"reviews": {"target": "sentiment"}, "speeches": {"target": "corpus"}}
    for name in ("qa", "sentiment"):
        tags = {"data_version": data, "hash.prepare": prepared, "sources": json.dumps(origin), "checkpoint": "c", "metrics": "{}"}
        client.create_registered_model(name)
        client.create_model_version(name, "file:///nowhere", tags={f"stemma.{key}": value for key, value in tags.items()})
    return lambda asked: exposure.exposure(project, asked, lambda line: None)


def into_cache(project: Path, splits: dict[str, list[str]], corpus: list[str]) -> str:
    """A version of data/ with these texts; its hash."""
    folder = project / ".stemma/made/data"
    for name, texts in splits.items():
        tables.write(folder / f"{name}.parquet", ({"text": text, "label": "positive"} for text in texts), TEXT)
    documents = ({"text": text, "source": "speeches", "license": None, "lang": "en"} for text in corpus)
    tables.write(folder / "corpus/speeches.parquet", documents, columns.corpus())
    (folder / "corpus/speeches.parquet").rename(folder / "corpus/train.parquet")
    sources = {"reviews": {"target": "sentiment"}, "speeches": {"target": "corpus"}}
    (folder / "sources.json").write_text(json.dumps({"sources": sources}))
    with workspace.lock(project):
        return data_versions.adopt(project, folder).hash


def how(found: Exposure) -> dict[str, str]:
    return {saw.model: "; ".join(saw.how) for saw in found.models}


def test_a_record_that_prepare_kept_was_there_to_train_on(ask: Ask) -> None:
    found = ask(KEPT)
    assert found.data_versions[0].places == ["sentiment/train.parquet: 1 row"]
    assert how(found) == {"sentiment/1": "had it to train on (build/prepare/sentiment/train: 1 row)"}


def test_a_record_that_prepare_removed_was_not_seen(ask: Ask) -> None:
    assert how(ask(GONE)) == {"sentiment/1": "not seen: `prepare` removed it from sentiment/train.parquet: 1 row"}


def test_a_record_for_testing_was_judged_on(ask: Ask) -> None:
    assert how(ask(JUDGED)) == {"sentiment/1": "was judged on it (build/prepare/sentiment/test: 1 row)"}


def test_a_document_that_was_cleaned_is_known_by_its_sentences_and_concerns_every_base(ask: Ask) -> None:
    seen = "its base and tokenizer had it to train on (build/prepare/corpus/train: in part, 1 of 3 sentences)"
    assert how(ask(SPEECH)) == {"qa/1": seen, "sentiment/1": seen}


def test_a_record_nobody_has_is_nowhere(ask: Ask) -> None:
    found = ask("Never written by anyone.")
    assert found.data_versions[0].places == []
    assert found.models == []


def test_a_data_version_that_came_with_a_merge_is_searched_too(ask: Ask, project: Path) -> None:
    for command in ("checkout -q -b side HEAD^", "commit -q --allow-empty -m aside", "merge -q --no-commit -"):
        git(project, *("-c", "user.name=tester"), *("-c", "user.email=tester@example.org"), *command.split())
    merged = into_cache(project, {"sentiment/train": ["Only the merge had these words."]}, [SPEECH])
    commit(project, "merge")
    into_cache(project, {"sentiment/train": [KEPT]}, [SPEECH])
    commit(project, "later")
    found = ask("Only the merge had these words.")
    assert {held.data_version: held.places for held in found.data_versions}[merged] == ["sentiment/train.parquet: 1 row"]


def test_a_data_version_whose_objects_are_gone_is_said_to_be_unknown(ask: Ask, project: Path) -> None:
    shutil.rmtree(project / ".dvc/cache")
    found = ask(KEPT)
    assert found.data_versions[0].places is None
    assert how(found) == dict.fromkeys(("qa/1", "sentiment/1"), "not known: its data version is not at hand")


def test_a_source_is_followed_into_the_models(ask: Ask) -> None:
    assert how(ask("reviews")) == {"qa/1": "in its data version, for sentiment alone", "sentiment/1": "fine-tuned and judged on it"}
    assert set(how(ask("speeches")).values()) == {"its base was made from it"}
