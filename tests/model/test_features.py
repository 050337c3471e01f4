import pytest
from transformers import AutoTokenizer

from model.features import Special, blocks, by_length, in_batches, padded, shuffled, token_ids
from model.vocabulary import CLS, END, IGNORED, PAD, SEP


def test_special_tokens_are_found_by_their_part(tokenizer) -> None:
    assert Special.of(tokenizer) == Special(pad=PAD, first=CLS, separator=SEP, end=END)


def test_a_tokenizer_with_an_end_only_plays_every_part_with_it(tokenizer_folder) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    for name in ("pad_token", "cls_token", "sep_token", "bos_token"):
        setattr(tokenizer, name, None)
    assert Special.of(tokenizer) == Special(END, END, END, END)


def test_a_special_token_written_in_a_text_is_text(tokenizer) -> None:
    ids = token_ids(tokenizer, ["a [SEP] b <|end|>"])[0]
    assert SEP not in ids
    assert END not in ids
    assert tokenizer.decode(ids) == "a [SEP] b <|end|>"


def test_a_batch_is_as_long_as_its_longest_example_rounded_up() -> None:
    batch = padded([{"input_ids": [7, 8, 9], "labels": [1, 2, 3]}, {"input_ids": [7] * 17, "labels": [1] * 17}], PAD)
    assert batch["input_ids"].shape == (2, 32)
    assert batch["input_ids"][0].tolist() == [7, 8, 9] + [PAD] * 29
    assert batch["labels"][0].tolist() == [1, 2, 3] + [IGNORED] * 29
    assert batch["attention_mask"].sum(-1).tolist() == [3, 17]
    assert padded([{"input_ids": [7], "labels": 4}], PAD)["labels"].tolist() == [4]


def test_every_epoch_has_every_example_once_in_an_order_of_its_own() -> None:
    lengths = [3, 90, 5, 40, 41, 6, 91]
    batch = in_batches(lengths, 2, seed=1)
    epochs = [[batch(index) for index in range(start, start + 4)] for start in (0, 4)]
    for epoch in epochs:
        assert sorted(at for indices in epoch for at in indices) == list(range(7))
    assert epochs[0] != epochs[1]
    assert in_batches(lengths, 2, seed=1)(6) == epochs[1][2]
    assert in_batches(lengths, 2, seed=2)(0) != batch(0) or in_batches(lengths, 2, seed=2)(1) != batch(1)


def test_batches_have_examples_of_like_length() -> None:
    assert by_length([3, 90, 5, 91], 2) == [[0, 2], [1, 3]]


@pytest.mark.parametrize("lengths", [[5, 5, 6, 9, 16, 3], [16], [1] * 40, [9, 9, 9]])
def test_examples_stay_whole_in_full_blocks(lengths: list[int]) -> None:
    features = [{"input_ids": [100 + at] * length, "labels": [IGNORED] + [at] * (length - 1)} for at, length in enumerate(lengths)]
    packed = blocks(features, 16, PAD)
    found = []
    for block in packed:
        assert {len(values) for values in block.values()} == {16}
        for document in sorted(set(block["documents"]) - {-1}):
            places = [at for at, index in enumerate(block["documents"]) if index == document]
            found.append({name: [block[name][at] for at in places] for name in ("input_ids", "labels")})
    assert sorted(found, key=str) == sorted(features, key=str)
    assert len(packed) <= -(-sum(lengths) // 16) + 1


def test_each_epoch_has_every_item_once_in_an_order_of_its_own() -> None:
    items = shuffled(10, 4, seed=1)
    drawn = [item for index in range(5) for item in items(index)]
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))
    assert drawn[:10] != drawn[10:]
    assert items(3) == shuffled(10, 4, seed=1)(3) != shuffled(10, 4, seed=2)(3)
