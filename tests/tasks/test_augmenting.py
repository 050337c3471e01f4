"""Augmentation as a fine-tuning has it."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model import applications
from model.errors import UserError
from model.params import Embeddings
from tasks import augmenting
from tasks.augmenting import Augmentation, Sources

NUMBERS = Augmentation(
    augment=(),
    augment_share=0.3,
    augment_rows=8,
    augment_choices=3,
    embeddings=Embeddings(size=8, window=2, min_count=1, epochs=2, max_words=1000),
    reads="prepare/corpus",
)
FILMS = [
    *(
        {"text": f"A warm and funny film about the {word}.", "label": "positive"}
        for word in ("bridge", "garden", "book", "girl", "teacher")
    ),
    *({"text": f"{word}太差了,非常失望。", "label": "negative"} for word in ("质量", "服务", "房间", "味道", "老师")),
]


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    texts = [
        "A warm film about a bridge in the garden.",
        "The funny teacher gave the girl a book.",
        "房间太差了,服务非常失望,味道太差了。",
    ] * 4
    (tmp_path / "corpus").mkdir()
    pq.write_table(pa.table({"text": texts}), tmp_path / "corpus/train.parquet")
    return Sources(tmp_path / "nowhere", tmp_path / "corpus", context=64, batch_size=4, seed=1)


@pytest.mark.parametrize("method", ["random_swap", "random_deletion", "random_insertion", "synonym"])
def test_new_rows_keep_their_labels_and_depend_on_no_other_row(method: str, sources: Sources) -> None:
    sentiment = applications.load("sentiment")
    numbers = replace(NUMBERS, augment=(method,), augment_rows=100)
    new = augmenting.added(FILMS, sentiment, numbers, sources)
    assert new == augmenting.added(FILMS, sentiment, numbers, sources)
    assert len(new) > 5
    assert {row["label"] for row in new} == {"positive", "negative"}
    assert all(("太差" in row["text"] or "失望" in row["text"] or "非常" in row["text"]) == (row["label"] == "negative") for row in new)
    fewer = augmenting.added(FILMS[::2], sentiment, numbers, sources)
    assert 0 < len(fewer) < len(new)
    assert all(row in new for row in fewer)


def test_a_method_adds_so_many_rows_and_one_named_twice_adds_others(sources: Sources) -> None:
    sentiment = applications.load("sentiment")
    once = augmenting.added(FILMS, sentiment, replace(NUMBERS, augment=("random_swap",), augment_rows=4), sources)
    twice = augmenting.added(FILMS, sentiment, replace(NUMBERS, augment=("random_swap", "random_swap"), augment_rows=4), sources)
    assert len(once) <= 4
    assert twice[: len(once)] == once
    assert twice[len(once) :] != once
    assert augmenting.added(FILMS, sentiment, NUMBERS, sources) == []


def test_what_does_not_fit_is_one_line_before_any_compute() -> None:
    srl, text = ["tokens", "predicate", "tags"], ["text", "label"]
    with pytest.raises(UserError, match=r"finetune\.srl\.augment: random_swap: the tags follow the order of the words; take it out"):
        augmenting.check(replace(NUMBERS, augment=("random_swap",)), srl, "srl")
    with pytest.raises(UserError, match=r"augment: back_translation reads finetune/translation; set finetune\.sentiment\.reads to it"):
        augmenting.check(replace(NUMBERS, augment=("back_translation",)), text, "sentiment")
    with pytest.raises(UserError, match=r"augment: synonym reads prepare/corpus; set finetune\.sentiment\.reads to it"):
        augmenting.check(replace(NUMBERS, augment=("synonym",), reads="pretrain/encoder"), text, "sentiment")
    with pytest.raises(
        UserError, match=r"finetune\.translation\.reads: finetune/translation is the model itself; set it to prepare/corpus"
    ):
        augmenting.check(replace(NUMBERS, augment=("reverse",), reads="finetune/translation"), ["source_lang"], "translation")
    augmenting.check(replace(NUMBERS, augment=("random_deletion", "synonym", "masked_lm")), srl, "srl")


def test_masked_substitution_without_an_encoder_is_refused(bases: Path, sources: Sources) -> None:
    numbers = replace(NUMBERS, augment=("masked_lm",))
    with pytest.raises(UserError, match=r"masked_lm needs an encoder; set reads to pretrain/encoder"):
        augmenting.added(FILMS, applications.load("sentiment"), numbers, replace(sources, base=bases / "llama"))
    assert augmenting.added(FILMS, applications.load("sentiment"), numbers, replace(sources, base=bases / "llama", reads=bases / "bert"))
