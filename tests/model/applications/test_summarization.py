from pathlib import Path

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer

from model.applications import summarization
from model.features import token_ids
from model.params import Decoding
from model.vocabulary import END, IGNORED

DECODING = Decoding(max_new_tokens=8, strategy="greedy", num_beams=1, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=1)
ROWS = [
    {"document": "The council closed the bridge. Work begins in May. " * 30, "summary": "The bridge is closed for work."},
    {"document": "大桥于一九三二年通车。老师给了女孩一本书。", "summary": "大桥通车"},
]
TOLD = [{"summary": "The council closed a bridge"}, {"summary": "大桥"}]


def test_the_beginning_of_a_long_document_and_the_whole_summary_are_kept(tokenizer) -> None:
    features = summarization.encode(ROWS, tokenizer, 64, [])
    assert len(features) == 2
    assert len(features[0]["input_ids"]) == 64
    assert [label for label in features[0]["labels"] if label != IGNORED] == [*token_ids(tokenizer, [ROWS[0]["summary"]])[0], END]
    assert features[0]["input_ids"][1:20] == token_ids(tokenizer, [ROWS[0]["document"]])[0][:19]


def test_a_summary_that_takes_more_than_half_the_context_gives_nothing(tokenizer) -> None:
    assert summarization.encode([{"document": "a b " * 99, "summary": "c d " * 30}], tokenizer, 32, []) == []


def test_every_document_gets_a_summary(bases: Path, tokenizer) -> None:
    model = summarization.open_model(bases / "llama", [], dropout=0.0)
    assert len(summarization.predict(model, tokenizer, ROWS, 64, 2, DECODING)) == 2


def test_the_metrics_are_those_of_rouge_score_for_english() -> None:
    rows, told = ROWS[:1] * 2, [TOLD[0], {"summary": "Nothing of it"}]
    metrics = summarization.metrics(summarization.statistics(rows, told).sum(0))
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    scores = [scorer.score(row["summary"], prediction["summary"]) for row, prediction in zip(rows, told, strict=True)]
    assert metrics == pytest.approx({kind: np.mean([score[kind].fmeasure for score in scores]) for kind in scores[0]})


def test_chinese_is_counted_by_characters() -> None:
    metrics = summarization.metrics(summarization.statistics(ROWS[1:], TOLD[1:]).sum(0))
    assert metrics == pytest.approx({"rouge1": 2 / 3, "rouge2": 2 * (1 / 1) * (1 / 3) / (1 + 1 / 3), "rougeL": 2 / 3})


def test_saying_nothing_scores_nothing() -> None:
    assert set(summarization.metrics(summarization.statistics(ROWS, [{"summary": ""}] * 2).sum(0)).values()) == {0.0}


def test_the_baseline_is_the_first_sentence() -> None:
    guesses = summarization.baselines([], [*ROWS, {"document": "..."}], None)["lead sentence"]
    assert [guess["summary"] for guess in guesses] == ["The council closed the bridge.", "大桥于一九三二年通车。", "..."]


def test_what_is_no_summary_is_refused() -> None:
    assert summarization.refuse(ROWS[0]) is None
    assert summarization.refuse({"document": "", "summary": "a"}) == "document: empty"
    assert summarization.refuse({"document": "a", "summary": "a b"}) == "summary: longer than its document"
