from pathlib import Path

import pytest
import torch
from sacrebleu.metrics import BLEU, CHRF

from model.applications import translation
from model.bootstrap import resampled
from model.errors import UserError
from model.features import blocks, padded, token_ids
from model.losses import language_loss
from model.params import Decoding
from model.vocabulary import END, IGNORED, PAD, SEP

DECODING = Decoding(max_new_tokens=8, strategy="greedy", num_beams=1, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=1)
PAIRS = [("You can return a response.", "你可以返回一个响应。"), ("The bridge was opened.", "大桥通车了。"), ("A book", "一本书")]
ROWS = [{"source": source, "target": target, "source_lang": "en", "target_lang": "zh"} for source, target in PAIRS]
TOLD = [{"translation": text} for text in ("你可以直接返回响应。", "", "一本好书")]


def test_the_loss_is_on_the_answer_and_its_end_alone(tokenizer) -> None:
    for row, feature in zip(ROWS, translation.encode(ROWS, tokenizer, 128, []), strict=True):
        labels = [label for label in feature["labels"] if label != IGNORED]
        assert labels == [*token_ids(tokenizer, [row["target"]])[0], END]
        asked = feature["input_ids"][: -len(labels)]
        assert asked == [END, *token_ids(tokenizer, [f"en > zh: {row['source']}"])[0], SEP]
        assert feature["labels"][: len(asked)] == [IGNORED] * len(asked)


def test_the_loss_of_a_block_is_that_of_its_examples_computed_by_hand(bases: Path, tokenizer) -> None:
    model = translation.open_model(bases / "llama", [], dropout=0.0).eval()
    features = translation.encode(ROWS, tokenizer, 128, [])
    by_hand = 0.0
    with torch.no_grad():
        for feature in features:
            chances = model(torch.tensor([feature["input_ids"]])).logits[0].log_softmax(-1)
            by_hand -= sum(float(chances[at - 1, label]) for at, label in enumerate(feature["labels"]) if label != IGNORED)
        total, count = language_loss(model, padded(blocks(features, 128, PAD), PAD))
    assert float(total) == pytest.approx(by_hand, rel=1e-5)
    assert int(count) == sum(label != IGNORED for feature in features for label in feature["labels"])


def test_a_pair_that_does_not_fit_is_left_out_of_training_and_cut_in_use(bases: Path, tokenizer) -> None:
    long = {**ROWS[0], "source": "You can return a response. " * 50}
    assert len(translation.encode([long, *ROWS], tokenizer, 64, [])) == 3
    model = translation.open_model(bases / "gpt2", [], dropout=0.0)
    predictions = translation.predict(model, tokenizer, [long, *ROWS], 64, 2, DECODING)
    assert len(predictions) == 4
    assert all(isinstance(prediction["translation"], str) for prediction in predictions)


def test_an_encoder_is_refused(bases: Path) -> None:
    with pytest.raises(UserError, match="an encoder cannot write text; give this application `base: decoder`"):
        translation.open_model(bases / "bert", [], dropout=0.0)


def test_the_metrics_are_those_of_sacrebleu() -> None:
    metrics = translation.metrics(translation.statistics(ROWS, TOLD).sum(0))
    told, references = [row["translation"] for row in TOLD], [[row["target"] for row in ROWS]]
    assert metrics["bleu"] == pytest.approx(BLEU(tokenize="zh").corpus_score(told, references).score)
    assert metrics["chrf"] == pytest.approx(CHRF().corpus_score(told, references).score)
    rows = [{**ROWS[0], "target_lang": "fr", "target": "Le pont a été ouvert aujourd'hui."}] * 2
    told = ["Le pont a été ouvert hier.", "Le pont est là."]
    metrics = translation.metrics(translation.statistics(rows, [{"translation": text} for text in told]).sum(0))
    assert metrics["bleu"] == pytest.approx(BLEU().corpus_score(told, [[row["target"] for row in rows]]).score)


def test_saying_nothing_scores_nothing_and_resamples() -> None:
    statistics = translation.statistics(ROWS, [{"translation": ""}] * 3)
    assert translation.metrics(statistics.sum(0)) == {"bleu": 0.0, "chrf": 0.0}
    assert resampled(statistics, translation.metrics, 100, 1)["bleu"].max() == 0.0


def test_the_baseline_copies_the_source() -> None:
    assert translation.baselines([], ROWS, None) == {"copy the source": [{"translation": source} for source, _ in PAIRS]}


def test_an_empty_side_is_refused() -> None:
    assert translation.refuse(ROWS[0]) is None
    assert translation.refuse({**ROWS[0], "target": "\n"}) == "target: empty"
