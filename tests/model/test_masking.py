"""Masks on real tokens of both languages."""

import numpy as np
import pytest
from transformers import BertTokenizerFast

from model.errors import UserError
from model.masking import Masking, Words, choose_spans, token_bytes
from model.params import Span
from model.vocabulary import CLS, IGNORED, MASK, SEP
from model.words import pieces

SPAN = Span(stop=0.2, longest=10)
ENGLISH = " When was the bridge opened? The teacher gave the girl a book in the garden."
CHINESE = "大桥于一九三二年通车。老师在花园里给了女孩一本书,非常好看。"


def block(tokenizer, *texts: str) -> np.ndarray:
    """Documents between their ends, in one block."""
    ids = [token for text in texts for token in (CLS, *tokenizer(text, add_special_tokens=False)["input_ids"], SEP)]
    return np.array([ids])


def written(tokenizer, tokens: np.ndarray, words: np.ndarray) -> list[str]:
    """The text of each word of a block."""
    return [tokenizer.decode(tokens[words == number]) for number in range(words.max() + 1)]


def test_tokens_of_english_make_words_with_their_blanks(tokenizer) -> None:
    tokens = block(tokenizer, ENGLISH)
    words = Words(tokenizer)(tokens)
    text = " When| was| the| bridge| opened|?| The| teacher| gave| the| girl| a| book| in| the| garden|."
    assert written(tokenizer, tokens, words) == text.split("|")
    assert words[0, 0] == words[0, -1] == -1


def test_tokens_of_chinese_make_the_words_of_jieba_or_those_that_a_token_joins(tokenizer) -> None:
    tokens = block(tokenizer, CHINESE)
    found = written(tokenizer, tokens, Words(tokenizer)(tokens))
    assert "".join(found) == CHINESE
    assert {"大桥", "给", "本书", "好看"} <= set(found)  # this small vocabulary cuts most others in the middle of a character
    joined = {"".join(pieces(CHINESE)[start:end]) for start in range(17) for end in range(start, 18)}
    assert set(found) <= joined


def test_a_token_that_holds_parts_of_two_words_joins_them(tokenizer) -> None:
    parts = Words(tokenizer)
    parts.bytes = [*parts.bytes, "桥于一".encode(), "大".encode(), "九三二年".encode()]
    joined, first, last = (len(parts.bytes) + at for at in (-3, -2, -1))
    assert parts(np.array([[CLS, first, joined, last, SEP]])).tolist() == [[-1, 0, 0, 0, -1]]


def test_half_a_character_at_the_edge_of_a_block_is_no_trouble(tokenizer) -> None:
    parts = Words(tokenizer)
    parts.bytes = [*parts.bytes, "桥".encode()[1:], "大桥".encode()]
    words = parts(np.array([[len(parts.bytes) - 2, len(parts.bytes) - 1]]))
    assert words.tolist() == [[0, 1]]


@pytest.mark.parametrize("texts", [(ENGLISH, ENGLISH), (CHINESE, CHINESE), (ENGLISH, CHINESE)])
def test_whole_words_are_masked_whole_and_as_often_as_single_tokens(tokenizer, texts: tuple[str, ...]) -> None:
    tokens = np.repeat(block(tokenizer, *texts), 200, axis=0)
    words = Words(tokenizer)(tokens)
    inputs, labels = Masking(tokenizer, "whole_word", 0.25, SPAN, seed=1)(tokens, 0)
    chosen = labels != IGNORED
    for number in range(0, words.max() + 1, 7):
        assert len(set(chosen[words == number].tolist())) == 1
    assert not chosen[words < 0].any()
    assert chosen.sum() / (words >= 0).sum() == pytest.approx(0.25, abs=0.02)
    assert (inputs[chosen] == MASK).mean() == pytest.approx(0.8, abs=0.02)
    assert np.array_equal(labels[chosen], tokens[chosen])
    assert np.array_equal(inputs[~chosen], tokens[~chosen])


@pytest.mark.parametrize("texts", [(ENGLISH, ENGLISH), (CHINESE, CHINESE)])
def test_spans_are_runs_of_whole_words_of_one_document_that_share_a_fate(tokenizer, texts: tuple[str, ...]) -> None:
    tokens = np.repeat(block(tokenizer, *texts), 200, axis=0)
    words = Words(tokenizer)(tokens)
    spans = choose_spans(words, 0.25, SPAN, np.random.default_rng(1))
    assert (spans >= 0).sum() / (words >= 0).sum() == pytest.approx(0.25, abs=0.03)
    for number in range(spans.max() + 1):
        block_of, places = np.nonzero(spans == number)
        assert len(set(block_of.tolist())) == 1
        assert np.array_equal(places, np.arange(places[0], places[-1] + 1))
        touched = words[block_of[0], places]
        assert (touched >= 0).all()
        assert np.isin(words, touched).sum() == len(places)
    inputs, labels = Masking(tokenizer, "span", 0.25, SPAN, seed=1)(tokens, 3)
    chosen = labels != IGNORED
    again = choose_spans(words, 0.25, SPAN, np.random.default_rng((1, 0, 3)))
    assert np.array_equal(chosen, again >= 0)
    masked = [inputs[again == number] == MASK for number in range(again.max() + 1)]
    assert all(part.all() or part.mean() < 0.2 for part in masked)
    assert np.mean([part.all() for part in masked]) == pytest.approx(0.8, abs=0.05)


def test_span_lengths_are_those_of_spanbert() -> None:
    words = np.arange(100_000).reshape(10, -1)
    spans = choose_spans(words, 0.02, SPAN, np.random.default_rng(1))
    lengths = np.bincount(spans[spans >= 0])
    assert lengths.max() == 10
    assert lengths.mean() == pytest.approx(3.8, abs=0.2)
    assert (lengths == 1).mean() == pytest.approx(0.2 / (1 - 0.8**10), abs=0.04)


def test_blocks_without_a_word_mask_nothing(tokenizer) -> None:
    tokens = np.array([[CLS, SEP, CLS, SEP]])
    for kind in ("whole_word", "span"):
        inputs, labels = Masking(tokenizer, kind, 0.25, SPAN, seed=1)(tokens, 0)
        assert np.array_equal(inputs, tokens)
        assert (labels == IGNORED).all()


def test_a_wordpiece_tokenizer_knows_its_words_by_their_marks(tmp_path) -> None:
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "gard", "##en", "the", ".", "花", "园", "在"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    wordpiece = BertTokenizerFast(str(tmp_path / "vocab.txt"))
    tokens = np.array([wordpiece("the garden. 在花园")["input_ids"]])
    assert Words(wordpiece)(tokens).tolist() == [[-1, 0, 1, 1, 2, 3, 4, 4, -1]]


def test_a_tokenizer_of_an_unknown_kind_is_refused(tokenizer_folder) -> None:
    from tokenizers import decoders
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    tokenizer.backend_tokenizer.decoder = decoders.CTC()
    with pytest.raises(UserError, match=r"masking: the words of a tokenizer with decoder CTC are not known; set it to token"):
        token_bytes(tokenizer)
