from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score
from transformers import AutoModelForSequenceClassification

from model.applications import sentiment
from model.vocabulary import CLS, SEP

from ...fitting import FITTING

LABELS = ["negative", "neutral", "positive"]
ROWS = [
    {"text": "I loved it.", "label": "positive"},
    {"text": "质量太差了", "label": "negative"},
    {"text": "It exists. " * 200, "label": "neutral"},
    {"text": "!", "label": "positive"},
]


def test_a_text_longer_than_the_context_is_cut(tokenizer) -> None:
    features = sentiment.encode(ROWS, tokenizer, 32, LABELS)
    assert [feature["labels"] for feature in features] == [2, 0, 1, 2]
    assert len(features[2]["input_ids"]) == 32
    assert all(feature["input_ids"][0] == CLS and feature["input_ids"][-1] == SEP for feature in features)


def test_a_label_that_training_never_saw_gives_no_feature(tokenizer) -> None:
    assert sentiment.encode([{"text": "Hm", "label": "mixed"}], tokenizer, 32, LABELS) == []


@pytest.mark.parametrize("architecture", ["bert", "roberta", "modernbert", "gpt2", "llama"])
def test_any_base_labels_every_row_whatever_the_batch(architecture: str, bases: Path, tokenizer, tmp_path: Path) -> None:
    model = sentiment.open_model(bases / architecture, LABELS, dropout=0.1)
    together = sentiment.predict(model, tokenizer, ROWS, 32, 4, None)
    assert {prediction["label"] for prediction in together} <= set(LABELS)
    alone = sentiment.predict(model, tokenizer, ROWS, 32, 1, None)
    assert [p["label"] for p in alone] == [p["label"] for p in together]
    assert [p["probability"] for p in alone] == pytest.approx([p["probability"] for p in together], abs=2e-4)
    model.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert sentiment.predict(again, tokenizer, ROWS, 32, 4, None) == together


def test_the_metrics_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    true, told = (random.choice(LABELS, 200, p=[0.5, 0.1, 0.4]).tolist() for _ in range(2))
    statistics = sentiment.statistics([{"label": label} for label in true], [{"label": label} for label in told])
    metrics = sentiment.metrics(statistics.sum(0))
    assert metrics == pytest.approx({"accuracy": accuracy_score(true, told), "macro_f1": f1_score(true, told, average="macro")})
    alike = sentiment.statistics([{"label": label} for label in true], [{"label": "positive"}] * 200).sum(0)
    assert sentiment.metrics(alike)["macro_f1"] == pytest.approx(f1_score(true, ["positive"] * 200, average="macro"))


def test_the_baselines_are_the_majority_and_regressions() -> None:
    train = [{"text": text, "label": label} for text, label in (("good film", "positive"), ("bad film", "negative")) for _ in range(3)]
    rows = [{"text": "so bad"}, {"text": "so good"}]
    more = [*train, {"text": "nice", "label": "positive"}]
    guesses = sentiment.baselines(more, rows, FITTING) | sentiment.baselines(more, rows, replace(FITTING, vectors="fasttext"))
    names = ("majority", *(f"{features} + logistic regression" for features in ("TF-IDF", "Word2Vec", "FastText")))
    assert tuple(guesses) == names
    assert [guess["label"] for guess in guesses["majority"]] == ["positive", "positive"]
    for name in names[1:]:
        assert [guess["label"] for guess in guesses[name]] == ["negative", "positive"]
    wordless = sentiment.baselines([*more, {"text": "!?", "label": "positive"}], [{"text": "..."}], FITTING)
    assert [guess["label"] for guess in wordless["Word2Vec + logistic regression"]] == ["positive"]
    assert list(sentiment.baselines(train[:3], train, FITTING)) == ["majority"]
    assert list(sentiment.baselines(train, rows, replace(FITTING, min_count=7))) == list(names[:2])


def test_an_empty_text_or_label_is_refused() -> None:
    assert sentiment.refuse(ROWS[0]) is None
    assert sentiment.refuse({"text": " ", "label": "positive"}) == "text: empty"
    assert sentiment.refuse({"text": "a", "label": ""}) == "label: empty"
