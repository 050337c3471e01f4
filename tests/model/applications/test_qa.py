from pathlib import Path

import pytest
import torch

from model.applications import qa
from model.vocabulary import CLS

PASSAGE = "The bridge was opened in 1932. It carries two railway tracks. " + "The teacher gave the girl a book in the garden. " * 20


def answered(context: str, question: str, *answers: str) -> dict:
    return {"context": context, "question": question, "answers": [{"text": text, "start": context.index(text)} for text in answers]}


ROWS = [
    answered(PASSAGE, "When was the bridge opened?", "in 1932", "1932"),
    answered(PASSAGE, "Who has a book?"),
    answered("大桥于一九三二年通车。", "大桥何时通车?", "一九三二年"),
]


def text_of(feature: dict, row: dict, tokenizer) -> str:
    ids = feature["input_ids"][feature["start_positions"] : feature["end_positions"] + 1]
    return tokenizer.decode(ids).strip()


def test_windows_that_hold_the_answer_point_at_it_and_one_other_at_nothing(tokenizer) -> None:
    features = qa.encode(ROWS[:1], tokenizer, 64, [])
    pointing = [feature for feature in features if feature["start_positions"]]
    assert [text_of(feature, ROWS[0], tokenizer) for feature in pointing] == ["in 1932"] * len(pointing)
    assert len(pointing) >= 1
    assert len(features) == len(pointing) + 1
    assert all(len(feature["input_ids"]) <= 64 and feature["input_ids"][0] == CLS for feature in features)


def test_an_answer_anywhere_in_a_long_passage_is_in_a_window(tokenizer) -> None:
    passage = "The teacher gave the girl a book. " * 15 + "It was opened in 1932. " + "You can return a response. " * 15
    features = qa.encode([answered(passage, "When?", "in 1932")], tokenizer, 64, [])
    assert {text_of(feature, {}, tokenizer) for feature in features if feature["start_positions"]} == {"in 1932"}


def test_an_unanswerable_question_points_at_the_first_token(tokenizer) -> None:
    features = qa.encode(ROWS[1:2], tokenizer, 64, [qa.UNANSWERABLE])
    assert [(feature["start_positions"], feature["end_positions"]) for feature in features] == [(0, 0)]


def test_only_a_model_that_saw_unanswerable_questions_may_say_nothing(bases: Path, tokenizer, tmp_path: Path) -> None:
    assert qa.labels(ROWS) == [qa.UNANSWERABLE]
    assert qa.labels([ROWS[0], ROWS[2]]) == []
    for labels, empty in ((qa.labels(ROWS), True), ([], False)):
        torch.manual_seed(0)
        model = qa.open_model(bases / "bert", labels, dropout=0.0)
        with torch.no_grad():
            model.qa_outputs.weight.zero_()
        model.save_pretrained(tmp_path)
        model = qa.open_model(tmp_path, labels, dropout=0.0)
        model.register_forward_hook(lambda module, inputs, output: first_is_best(output))
        predictions = qa.predict(model, tokenizer, ROWS, 64, 4, None)
        assert [prediction["answer"] == "" for prediction in predictions] == [empty] * 3


def first_is_best(output):
    for logits in (output.start_logits, output.end_logits):
        logits[:, 0] = 5.0
    return output


def test_the_best_span_is_read_from_the_passage(bases: Path, tokenizer) -> None:
    model = qa.open_model(bases / "roberta", [], dropout=0.0)
    feature = next(feature for feature in qa.encode(ROWS[:1], tokenizer, 64, []) if feature["start_positions"])

    def point(module, inputs, output):
        output.start_logits[:, feature["start_positions"]] = 50.0
        output.end_logits[:, feature["end_positions"]] = 50.0
        return output

    model.register_forward_hook(point)
    row = {**ROWS[0], "context": PASSAGE[:62]}
    assert qa.predict(model, tokenizer, [row], 64, 4, None)[0]["answer"] == "in 1932"


@pytest.mark.parametrize("architecture", ["bert", "roberta", "modernbert", "llama"])
def test_any_base_answers_with_a_piece_of_the_passage(architecture: str, bases: Path, tokenizer) -> None:
    model = qa.open_model(bases / architecture, [], dropout=0.1)
    rows = [{name: row[name] for name in qa.INPUTS} for row in [*ROWS, {"context": " ", "question": "Why? " * 99}]]
    predictions = qa.predict(model, tokenizer, rows, 48, 3, None)
    assert [prediction["answer"] in row["context"] for row, prediction in zip(rows, predictions, strict=True)] == [True] * 4


@pytest.mark.parametrize(
    ("told", "answers", "exact", "f1"),
    [  # as the script of SQuAD scores them
        ("The Bridge!", ["bridge"], 1, 1),
        ("in 1932", ["1932", "the year 1932"], 0, 2 / 3),
        ("a red car", ["the car"], 0, 2 / 3),
        ("", ["car"], 0, 0),
        ("", [], 1, 1),
        ("car", [], 0, 0),
        ("一九三二年。", ["一九三二年"], 1, 1),
        ("一九三", ["一九三二年"], 0, 2 * 3 / 8),
        ("the", ["a"], 1, 1),
        ("U.S. army", ["us army"], 1, 1),
    ],
)
def test_exact_match_and_f1_are_those_of_squad(told: str, answers: list[str], exact: float, f1: float) -> None:
    row = {"answers": [{"text": text, "start": 0} for text in answers]}
    metrics = qa.metrics(qa.statistics([row], [{"answer": told}]).sum(0))
    assert metrics == pytest.approx({"exact_match": exact, "f1": f1})


def test_the_baseline_is_the_sentence_nearest_to_the_question() -> None:
    guesses = qa.baselines([], ROWS, None)["best-overlap sentence"]
    assert guesses[0] == {"answer": "The bridge was opened in 1932."}
    assert guesses[2] == {"answer": "大桥于一九三二年通车。"}


def test_an_answer_must_stand_where_it_says() -> None:
    assert [qa.refuse(row) for row in ROWS] == [None] * 3
    wrong = {**ROWS[0], "answers": [{"text": "1932", "start": 3}]}
    assert qa.refuse(wrong) == "answers: '1932' does not stand at character 3 of context"
    assert qa.refuse({**ROWS[0], "question": ""}) == "question: empty"
