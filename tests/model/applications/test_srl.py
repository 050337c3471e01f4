from itertools import product
from pathlib import Path

import numpy as np
import pytest

from model.applications import srl
from model.errors import UserError
from model.vocabulary import CLS, IGNORED, SEP

ROW = {
    "tokens": ["The", "teacher", "gave", "the", "girl", "a", "book", "."],
    "predicate": 2,
    "tags": ["B-ARG0", "I-ARG0", "B-V", "B-ARG2", "I-ARG2", "B-ARG1", "I-ARG1", "O"],
}
CHINESE = {"tokens": ["老师", "给", "女孩", "书"], "predicate": 1, "tags": ["B-ARG0", "B-V", "B-ARG2", "B-ARG1"]}


def test_the_predicate_stands_between_separators_and_each_word_has_its_tag(tokenizer) -> None:
    labels = srl.labels([ROW])
    (feature,) = srl.encode([ROW], tokenizer, 64, labels)
    ids = feature["input_ids"]
    first, second, last = (at for at, token in enumerate(ids) if token == SEP)
    assert tokenizer.decode(ids[first + 1 : second]).strip() == "gave"
    assert (ids[0], last) == (CLS, len(ids) - 1)
    assert [labels[label] for label in feature["labels"] if label != IGNORED] == ROW["tags"]
    assert tokenizer.decode([token for token in ids if token not in (CLS, SEP)]) == "The teacher gave the girl a book."


def test_a_long_sentence_keeps_the_words_around_its_predicate(bases: Path, tokenizer) -> None:
    long = {"tokens": ["tracks"] * 90, "predicate": 60, "tags": ["O"] * 60 + ["B-V"] + ["B-ARG1"] * 29}
    (feature,) = srl.encode([long], tokenizer, 32, srl.labels([long]))
    assert len(feature["input_ids"]) <= 32
    assert feature["input_ids"].count(SEP) == 3
    model = srl.open_model(bases / "bert", srl.labels([long]), dropout=0.0)
    (prediction,) = srl.predict(model, tokenizer, [long], 32, 2, None)
    assert len(prediction["tags"]) == 90
    assert prediction["tags"][:40] == ["O"] * 40


def test_a_word_longer_than_the_context_is_no_trouble(bases: Path, tokenizer) -> None:
    row = {"tokens": ["a", "龘" * 60, "b"], "predicate": 1, "tags": ["O", "B-V", "O"]}
    (feature,) = srl.encode([row], tokenizer, 32, ["O", "B-V", "I-V"])
    assert len(feature["input_ids"]) == 32
    assert len(srl.predict(srl.open_model(bases / "bert", ["O", "B-V"], 0.0), tokenizer, [row], 32, 1, None)[0]["tags"]) == 3


@pytest.mark.parametrize("architecture", ["bert", "roberta", "modernbert", "gpt2"])
def test_predicted_tags_are_valid_whatever_the_model_says(architecture: str, bases: Path, tokenizer) -> None:
    model = srl.open_model(bases / architecture, srl.labels([ROW]), dropout=0.1)
    rows = [ROW, CHINESE, {"tokens": ["Run"], "predicate": 0}]
    for row, prediction in zip(rows, srl.predict(model, tokenizer, rows, 64, 2, None), strict=True):
        assert srl.refuse({**row, "tags": prediction["tags"]}) is None
        assert [at for at, tag in enumerate(prediction["tags"]) if tag == "B-V"] == [row["predicate"]]


def test_a_predicate_out_of_its_sentence_is_named(bases: Path, tokenizer) -> None:
    model = srl.open_model(bases / "bert", srl.labels([ROW]), dropout=0.0)
    with pytest.raises(UserError, match="predicate: 9 is no place in 2 tokens; count the tokens from 0"):
        srl.predict(model, tokenizer, [{"tokens": ["She", "left"], "predicate": 9}], 64, 1, None)


def test_the_path_is_the_best_of_all_valid_ones() -> None:
    names = ["O", "B-A", "I-A", "B-B", "I-B"]
    allowed = np.array([[srl._follows(before, after) for after in names] for before in names])
    scores = np.random.default_rng(0).normal(size=(5, 5)) * 3
    valid = [path for path in product(range(5), repeat=5) if all(allowed[step] for step in zip((0, *path), path, strict=False))]
    best = max(valid, key=lambda path: sum(scores[word, tag] for word, tag in enumerate(path)))
    assert tuple(srl.likeliest(scores, allowed, names)) == best


def test_arguments_count_only_with_their_role_and_all_their_words() -> None:
    told = ["B-ARG0", "O", "B-V", "B-ARG2", "I-ARG2", "B-ARG2", "I-ARG2", "O"]
    statistics = srl.statistics([ROW, CHINESE], [{"tags": told}, {"tags": ["O"] * 4}])
    assert statistics.tolist() == [[1, 3, 3], [0, 0, 3]]
    assert srl.metrics(statistics.sum(0)) == pytest.approx({"span_f1": 2 / 9, "precision": 1 / 3, "recall": 1 / 6})
    perfect = srl.statistics([ROW], [{"tags": ROW["tags"]}]).sum(0)
    assert srl.metrics(perfect) == {"span_f1": 1.0, "precision": 1.0, "recall": 1.0}
    assert srl.metrics(np.zeros(3)) == {"span_f1": 0.0, "precision": 0.0, "recall": 0.0}


def test_spans_are_read_from_tags() -> None:
    assert srl.spans(["I-A", "I-A", "B-A", "O", "I-A", "I-B", "B-V"]) == [("A", 0, 2), ("A", 2, 3), ("A", 4, 5), ("B", 5, 6)]
    assert srl.readable(ROW["tokens"], ROW["tags"]) == "[ARG0 The teacher] [ARG2 the girl] [ARG1 a book]"


def test_the_baseline_takes_what_stands_before_and_after() -> None:
    guesses = srl.baselines(
        [ROW, {**ROW, "tags": ["B-ARG0", "I-ARG0", "B-V", *["B-ARG1"] * 4, "O"]}], [ROW, CHINESE, {**ROW, "predicate": 0}], None
    )
    tags = [guess["tags"] for guess in guesses["subject and object by position"]]
    assert tags[0] == ["B-ARG0", "I-ARG0", "O", "B-ARG1", "I-ARG1", "I-ARG1", "I-ARG1", "O"]
    assert tags[1] == ["B-ARG0", "O", "B-ARG1", "I-ARG1"]
    assert tags[2][:2] == ["O", "B-ARG1"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"tokens": []}, "tokens: empty, or with an empty word"),
        ({"tags": ["O"]}, "tags: 1 for 8 tokens"),
        ({"predicate": 8}, "predicate: 8 is no place in 8 tokens"),
        ({"tags": ["O", "I-ARG0", *["O"] * 6]}, "tags: I-ARG0 after O"),
        ({"tags": ["ARG0", *["O"] * 7]}, "tags: 'ARG0' is not B-ROLE, I-ROLE or O"),
    ],
)
def test_what_is_no_labelled_sentence_is_refused(changes: dict, reason: str | None) -> None:
    assert srl.refuse({**ROW, **changes}) == reason
