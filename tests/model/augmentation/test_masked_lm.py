from random import Random

import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from model.augmentation import masked_lm
from model.augmentation.text import opened

TEXTS = [
    "When was the bridge opened? The bridge was opened in 1932 and carries the book.",
    "这本书非常好看,你给了我一本书。",
    "The teacher gave the girl a book in the garden.",
]


def test_words_of_one_token_give_way_to_others_of_their_script(bases) -> None:
    torch.set_num_threads(1)
    model = AutoModelForMaskedLM.from_pretrained(bases / "bert", attn_implementation="sdpa")
    tokenizer = AutoTokenizer.from_pretrained(bases / "bert")
    answers = [{"text": "bridge was opened in 1932", "start": 32}]
    texts = [opened({"context": text, "answers": answers if text is TEXTS[0] else []}, "context") for text in TEXTS]

    def changed(seed: int) -> list:
        randoms = [Random(f"{seed} {at}") for at in range(len(texts))]
        return masked_lm.changes(texts, randoms, model, tokenizer, share=0.4, choices=5, context=64, batch_size=2)

    found = changed(1)
    assert found == changed(1)
    assert found != changed(2)
    for text, new in zip(texts, found, strict=True):
        assert [place for _, place in new] == list(range(len(text.pieces)))
        different = {old: piece for old, (piece, _) in zip(text.pieces, new, strict=True) if old != piece}
        assert different
        assert len(different) <= text.number(0.4)
        for old, piece in different.items():
            assert piece.isalpha()
            assert piece.isascii() == old.isascii()
    fixed = sorted(texts[0].fixed)
    assert "".join(found[0][at][0] for at in fixed) == "bridge was opened in 1932"


def test_a_text_beyond_the_context_is_left_as_it_is_there(bases) -> None:
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(bases / "bert"), AutoTokenizer.from_pretrained(bases / "bert")
    text = opened({"text": "the book " * 40}, "text")
    [new] = masked_lm.changes([text], [Random(1)], model, tokenizer, share=1.0, choices=5, context=18, batch_size=2)
    assert [piece for piece, _ in new][32:] == list(text.pieces)[32:]
    assert [piece for piece, _ in new][:32] != list(text.pieces)[:32]
