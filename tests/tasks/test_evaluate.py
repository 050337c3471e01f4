import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoTokenizer

from model import applications
from tasks import baseline, evaluate, examples
from tasks.session import Session

from ..fitting import FITTING

PARAMS = evaluate.Params(
    max_new_tokens=8,
    strategy="greedy",
    num_beams=1,
    temperature=1.0,
    top_k=0,
    top_p=1.0,
    min_p=0.0,
    seed=1,
    max_examples=12,
    batch_size=3,
    resamples=100,
    confidence=0.95,
    num_threads=1,
)
PASSAGE = "The bridge was opened in 1932. It carries two railway tracks."
WORDS = ["The", "teacher", "gave", "a", "book", "."]
TAGS = ["B-ARG0", "I-ARG0", "B-V", "B-ARG1", "I-ARG1", "O"]
ROWS = {
    "sentiment": [{"text": f"film {n} 好看", "label": "positive" if n % 3 else "负面"} for n in range(20)],
    "translation": [{"source": f"The bridge {n}", "target": f"大桥 {n}", "source_lang": "en", "target_lang": "zh"} for n in range(20)],
    "summarization": [{"document": f"The bridge {n} is closed. Work begins.", "summary": f"Bridge {n} closed"} for n in range(20)],
    "qa": [{"context": PASSAGE, "question": f"When {n}?", "answers": [{"text": "1932", "start": 25}]} for n in range(20)],
    "srl": [{"tokens": [*WORDS[:4], f"book{n}", "."], "predicate": 2, "tags": TAGS} for n in range(20)],
}
BASES = {"translation": "llama", "summarization": "gpt2"}


def silent(folder: Path) -> Session:
    return Session(checkpoints=folder, log=lambda step, values: None, progress=lambda done, total: None)


@pytest.fixture(params=sorted(ROWS))
def application(request: pytest.FixtureRequest) -> str:
    return request.param


def prepare(application: str, bases: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A checkpoint with an untrained head, and splits of 20 rows each."""
    module, rows = applications.load(application), ROWS[application]
    checkpoint, splits = tmp_path / "checkpoint", tmp_path / "splits"
    torch.manual_seed(1)
    base = bases / BASES.get(application, "bert")
    module.open_model(base, module.labels(rows), 0.1).save_pretrained(checkpoint)
    AutoTokenizer.from_pretrained(base).save_pretrained(checkpoint)
    facts = {"application": application, "context": 64, "labels": module.labels(rows)}
    (checkpoint / "application.json").write_text(json.dumps(facts), encoding="utf-8")
    splits.mkdir()
    pq.write_table(pa.Table.from_pylist(rows, schema=module.SCHEMA), splits / "test.parquet")
    baseline.write(splits / "baseline.parquet", rows, module.baselines(rows, rows, FITTING))
    return checkpoint, splits


def run(application: str, checkpoint: Path, splits: Path, out: Path, params: evaluate.Params = PARAMS) -> tuple[dict, dict]:
    told = splits / "baseline.parquet"
    numbers = evaluate.run(checkpoint, splits, told, out, params=params, session=silent(out), variant=application)
    return numbers, json.loads((out / "evaluation.json").read_text(encoding="utf-8"))


@pytest.mark.e2e
def test_an_evaluation_is_whole_and_the_same_again(application: str, bases: Path, tmp_path: Path) -> None:
    checkpoint, splits = prepare(application, bases, tmp_path)
    numbers, report = run(application, checkpoint, splits, tmp_path / "one")
    run(application, checkpoint, splits, tmp_path / "two")
    contents = [{file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("one", "two")]
    assert contents[0] == contents[1]
    assert sorted(contents[0]) == ["evaluation.json", "plot.png", "predictions.parquet"]

    module = applications.load(application)
    chosen = examples.by_hash(ROWS[application], 12)
    lines = "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in chosen)
    assert report["evaluation_hash"] == hashlib.sha256(lines.encode()).hexdigest()
    assert report["metric"] == module.METRIC
    assert report["num_examples"] == 12
    for metrics in (report["metrics"], *report["baseline"].values()):
        assert all(
            interval["low"] <= interval["value"] + 1e-9 and interval["value"] <= interval["high"] + 1e-9 for interval in metrics.values()
        )
    assert numbers[module.METRIC] == report["metrics"][module.METRIC]["value"]
    assert report["synthetic"] is False

    table = pq.read_table(tmp_path / "one/predictions.parquet")
    assert table.select(module.SCHEMA.names).to_pylist() == chosen
    predictions = [
        {name.removeprefix("predicted_"): value for name, value in row.items() if name.startswith("predicted_")}
        for row in table.to_pylist()
    ]
    assert module.metrics(module.statistics(chosen, predictions).sum(0))[module.METRIC] == pytest.approx(numbers[module.METRIC])
    assert table.schema.metadata is None
    assert pa.types.is_floating(table.schema.field("score").type)


def test_a_model_that_is_better_than_its_baseline_is_said_to_be(bases: Path, tmp_path: Path) -> None:
    splits = prepare("sentiment", bases, tmp_path)[1]
    rows, module = ROWS["sentiment"], applications.load("sentiment")
    right, wrong = rows, [{"label": "positive"}] * len(rows)
    model, always = evaluate.scores(module, rows, [right, wrong], PARAMS)
    report = evaluate.report(module, "sentiment", rows, model, {"always": always}, PARAMS)
    assert report["beats_baseline"] is True
    assert report["p_value"] <= 0.02
    told = report["comparison"]["always"]
    assert told["difference"] == pytest.approx(7 / 20)
    assert told["low"] < told["difference"] < told["high"]
    same = evaluate.report(module, "sentiment", rows, always, {"always": always}, PARAMS)
    assert same["beats_baseline"] is False
    assert same["p_value"] == 1.0
    assert (same["comparison"]["always"]["low"], same["comparison"]["always"]["high"]) == (0.0, 0.0)
    assert evaluate.provenance(splits) == {"synthetic": False, "sources": []}


def test_languages_with_enough_rows_are_judged_by_themselves() -> None:
    module, enough = applications.load("sentiment"), evaluate.ENOUGH
    english = [{"text": f"The film that I saw with them on day {number} was fine.", "label": "positive"} for number in range(enough)]
    chinese = [{"text": f"这是第{number}天看的电影,我很喜欢。", "label": "positive"} for number in range(enough + 5)]
    french = [{"text": "Je ne suis pas content du tout de ce film, il est trop long.", "label": "negative"}] * (enough - 1)
    rows = [*french, *chinese, *english]
    told = ["negative"] * len(french) + ["positive"] * len(chinese) + ["negative"] * len(english)
    predictions = [{"label": label} for label in told]
    always = {"always": [{"label": "positive"}] * len(rows)}
    found = evaluate.by_language(module, rows, predictions, always, PARAMS)
    assert {lang: (part["num_examples"], part["metrics"]["accuracy"]["value"]) for lang, part in found.items()} == {
        "en": (enough, 0.0),
        "zh": (enough + 5, 1.0),
    }
    assert found["en"]["comparison"]["always"]["difference"] == -1.0
    assert evaluate.by_language(module, english, predictions[-enough:], {"always": [{"label": "positive"}] * enough}, PARAMS) == {}


def test_synthetic_data_is_called_so(bases: Path, tmp_path: Path) -> None:
    checkpoint, splits = prepare("srl", bases, tmp_path)
    (splits / "sources.json").write_text(json.dumps({"synthetic": True, "sources": ["grammar"]}), encoding="utf-8")
    report = run("srl", checkpoint, splits, tmp_path / "out")[1]
    assert (report["synthetic"], report["sources"]) == (True, ["grammar"])


def test_progress_ends_at_all_and_drawing_is_seeded(bases: Path, tmp_path: Path) -> None:
    checkpoint, _ = prepare("translation", bases, tmp_path)
    steps: list[tuple[int, int]] = []
    session = replace(silent(tmp_path), progress=lambda done, total: steps.append((done, total)))
    params = replace(PARAMS, strategy="top-k", top_k=50)
    rows = ROWS["translation"]
    drawn = [evaluate.predict(checkpoint, rows, changed, session) for changed in (params, params, replace(params, seed=2))]
    assert drawn[0] == drawn[1] != drawn[2]
    assert steps[:4] == [(6, 20), (12, 20), (18, 20), (20, 20)]


def test_what_is_evaluated_does_not_depend_on_the_order_of_the_rows() -> None:
    rows = ROWS["sentiment"]
    assert examples.by_hash(rows, 5) == examples.by_hash(rows[::-1], 5)
    assert len(examples.by_hash(rows, 99)) == 20


def test_old_outputs_are_rewritten_whole(bases: Path, tmp_path: Path) -> None:
    checkpoint, splits = prepare("sentiment", bases, tmp_path)
    (tmp_path / "out").mkdir()
    shutil.copy(checkpoint / "config.json", tmp_path / "out")
    run("sentiment", checkpoint, splits, tmp_path / "out")
    assert not (tmp_path / "out/config.json").exists()
