import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import assess, ngram, tokenizer
from tasks.session import Session

SESSION = Session(checkpoints=Path("unused"), log=lambda step, values: None, progress=lambda done, total: None)
NGRAM = ngram.Params(max_train_tokens=10_000)
PARAMS = assess.Params(mask_probability=0.3, batch_size=4, resamples=200, confidence=0.95, seed=1, num_threads=1)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokens")
    rows = [{"text": f"Bridge {n} has {n * n} stones.", "source": "bridges", "lang": "en"} for n in range(60)]
    rows += [{"text": f"第{n}座桥有{n * n}块石头。", "source": "桥", "lang": "zh"} for n in range(60)]
    for split, some in (("train", rows[10:110]), ("validation", rows[:10] + rows[110:])):
        pq.write_table(pa.Table.from_pylist(some), folder / f"{split}.parquet")
    params = tokenizer.Params(vocab_size=290, context=16, min_frequency=2, max_train_tokens=9999, max_validation_tokens=999, num_threads=1)
    tokenizer.run(folder, folder / "out", params=params, session=SESSION)
    return folder / "out"


@pytest.fixture(scope="module")
def counted(tokens: Path) -> tuple[Path, dict[str, float]]:
    out = tokens.parent / "ngram"
    return out, ngram.run(tokens, out, params=NGRAM, session=SESSION)


def base(architecture: str, tokens: Path, folder: Path) -> Path:
    from transformers import AutoTokenizer

    from model.backbone import build

    sizes = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 24, "dropout": 0.0}
    build(architecture, vocab_size=290, context=64, seed=1, **sizes).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokens).save_pretrained(folder)
    return folder


def told(folder: Path) -> dict:
    return json.loads((folder / "assessment.json").read_text(encoding="utf-8"))


def test_the_ngram_models_score_each_held_out_document_and_the_trigram_is_better(counted: tuple[Path, dict[str, float]]) -> None:
    out, numbers = counted
    rows = pq.read_table(out / "documents.parquet").to_pylist()
    assert [row["lang"] for row in rows].count("zh") == 10
    assert sum(row["trigram"] for row in rows) < sum(row["unigram"] for row in rows)
    bits = sum(row["trigram"] for row in rows) / math.log(2) / sum(row["bytes"] for row in rows)
    assert numbers["trigram_bits_per_byte"] == pytest.approx(bits)
    assert numbers["trigram_bits_per_byte"] < numbers["unigram_bits_per_byte"]


def test_fewer_tokens_are_counted_if_so_asked(tokens: Path, counted: tuple[Path, dict[str, float]], tmp_path: Path) -> None:
    fewer = ngram.run(tokens, tmp_path / "out", params=replace(NGRAM, max_train_tokens=64), session=SESSION)
    assert fewer["num_tokens"] == 64
    assert fewer["trigram_bits_per_byte"] > counted[1]["trigram_bits_per_byte"]


def test_a_decoder_is_judged_in_bits_per_byte_by_language_and_source(tokens: Path, counted: tuple, tmp_path: Path) -> None:
    numbers = assess.run(base("llama", tokens, tmp_path / "base"), tokens, counted[0], tmp_path / "out", params=PARAMS, session=SESSION)
    report, rows = told(tmp_path / "out"), pq.read_table(tmp_path / "out/documents.parquet").to_pylist()
    assert report["metric"] == "bits_per_byte"
    assert report["all"]["value"] == pytest.approx(sum(row["base"] for row in rows) / sum(row["size"] for row in rows))
    assert set(report["by_source"]) == {"bridges", "桥"}
    some = [row for row in rows if row["lang"] == "zh"]
    assert report["by_lang"]["zh"]["value"] == pytest.approx(sum(row["base"] for row in some) / sum(row["size"] for row in some))
    assert report["by_lang"]["zh"]["num_documents"] == 10
    other = report["all"]["yardsticks"]["trigram"]
    assert other["value"] == pytest.approx(counted[1]["trigram_bits_per_byte"])
    assert 0 < other["comparison"]["low"] < report["all"]["value"] - other["value"] < other["comparison"]["high"]
    assert other["comparison"]["beats"] is False  # it has learned nothing
    assert other["comparison"]["p_value"] == 1.0
    assert numbers["beats_trigram"] == 0.0
    assert numbers["bits_per_byte_zh"] == report["by_lang"]["zh"]["value"]


def test_an_encoder_is_judged_by_its_masked_tokens_beside_their_frequency(tokens: Path, counted: tuple, tmp_path: Path) -> None:
    made = base("bert", tokens, tmp_path / "base")
    for name in ("one", "two"):
        assess.run(made, tokens, counted[0], tmp_path / name, params=PARAMS, session=SESSION)
    report = told(tmp_path / "one")
    assert report["metric"] == "masked_cross_entropy"
    assert report["all"]["value"] == pytest.approx(math.log(290), abs=0.3)
    assert list(report["all"]["yardsticks"]) == ["unigram"]
    assert report["all"]["yardsticks"]["unigram"]["value"] < math.log(290)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_bits_per_byte_are_over_the_same_text_whatever_the_tokens_of_a_base(tokens: Path, counted: tuple, tmp_path: Path) -> None:
    made = base("gpt2", tokens, tmp_path / "base")
    tokenizer.save(tokenizer.train(["Bridge Bridge has stones stones"] * 5, 280, 2), made)
    assess.run(made, tokens, counted[0], tmp_path / "out", params=PARAMS, session=SESSION)
    sizes = pq.read_table(tmp_path / "out/documents.parquet")["size"]
    assert sizes == pq.read_table(counted[0] / "documents.parquet")["bytes"]
    assert told(tmp_path / "out")["all"]["yardsticks"]["trigram"]["value"] == pytest.approx(counted[1]["trigram_bits_per_byte"])


def test_a_base_that_is_better_on_every_document_is_said_to_be() -> None:
    random = np.random.default_rng(3)
    rows = [
        {"source": "a", "lang": None, "size": int(size), "base": 1.9 * size, "trigram": 2.0 * size} for size in random.integers(50, 900, 30)
    ]
    judged = assess.compared(rows, PARAMS)
    comparison = judged["yardsticks"]["trigram"]["comparison"]
    assert comparison["beats"] is True
    assert comparison["p_value"] == 1 / 201
    assert comparison["difference"] == pytest.approx(-0.1)
