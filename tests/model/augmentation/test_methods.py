"""What each method does to real text of both languages, and where the labels are afterwards."""

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest

from model import augmentation
from model.applications import qa, srl
from model.augmentation import back_translation, random_deletion, random_insertion, random_swap, reverse, synonym
from model.augmentation.embeddings import neighbours
from model.augmentation.text import cased, closed, opened
from model.params import Embeddings
from model.words import pieces

ENGLISH = "A warm and funny film, and I loved every minute of it."
CHINESE = "这本书非常好看,我很喜欢。"
BOTH = pytest.mark.parametrize("text", [ENGLISH, CHINESE])
QUESTIONS = [
    {
        "context": "The bridge was opened in 1932. It carries two railway tracks.",
        "question": "When was it opened?",
        "answers": [{"text": "1932", "start": 25}, {"text": "in 1932", "start": 22}],
    },
    {"context": "大桥于一九三二年通车。老师在花园里给了女孩一本书。", "question": "何时?", "answers": [{"text": "三二年通", "start": 5}]},
    {"context": "The bridge was opened in 1932.", "question": "Who?", "answers": []},
]
ROLES = {
    "tokens": ["The", "teacher", "gave", "up", "the", "big", "book", "老师", "昨天", "."],
    "predicate": 2,
    "tags": ["B-A0", "I-A0", "B-V", "I-V", "B-A1", "I-A1", "I-A1", "B-A1", "I-A1", "O"],
}
WORDS = {"warm": ("cosy",), "film": ("movie", "picture"), "好看": ("精彩",), "book": ("novel",), "tracks": ("lanes",), "花园": ("院子",)}
WORDS |= {"花园里": ("院子里",), "昨天": ("今天",), "bridge": ("crossing",)}


def near(word: str) -> Sequence[str]:
    return WORDS.get(word, ())


def changed(method: str, row: dict, column: str, share: float = 0.3, seed: int = 1) -> dict:
    text, random = opened(row, column), Random(seed)
    match method:
        case "random_swap":
            new = random_swap.change(text, share, random)
        case "random_deletion":
            new = random_deletion.change(text, share, random)
        case "random_insertion":
            new = random_insertion.change(text, share, random, near)
        case _:
            new = synonym.change(text, share, random, near)
    return closed(row, column, text, new)


def words(text: str) -> Counter:
    return Counter(piece for piece in pieces(text) if piece.isalnum())


@BOTH
def test_a_swap_keeps_every_word_and_changes_their_order(text: str) -> None:
    new = changed("random_swap", {"text": text, "label": "positive"}, "text")
    assert new["label"] == "positive"
    assert new["text"] != text
    assert words(new["text"]) == words(text)


@BOTH
def test_a_deletion_takes_words_with_a_space_and_leaves_the_others_in_order(text: str) -> None:
    sizes = []
    for seed in range(30):
        new = changed("random_deletion", {"text": text}, "text", seed=seed)["text"]
        left = iter(pieces(text))
        assert all(piece in left for piece in pieces(new) if piece.isalnum())
        assert "  " not in new
        assert not new.startswith(" ")
        sizes.append(words(new).total() / words(text).total())
    assert sum(sizes) / 30 == pytest.approx(0.7, abs=0.08)


def test_a_deletion_leaves_one_word_at_least() -> None:
    assert {changed("random_deletion", {"text": "warm film"}, "text", share=1.0, seed=seed)["text"].strip() for seed in range(9)} == {
        "warm",
        "film",
    }


def test_an_insertion_adds_neighbours_of_words_that_are_there() -> None:
    new = changed("random_insertion", {"text": ENGLISH}, "text")["text"]
    assert words(ENGLISH) <= words(new)
    assert set(words(new) - words(ENGLISH)) <= {"cosy", "movie", "picture"}
    assert words(new).total() == words(ENGLISH).total() + 4
    chinese = changed("random_insertion", {"text": CHINESE}, "text")["text"]
    assert chinese.replace("精彩", "") == CHINESE
    assert len(chinese) > len(CHINESE)


def test_a_synonym_stands_where_its_word_stood_with_its_capitals() -> None:
    assert changed("synonym", {"text": "Warm books."}, "text")["text"] == "Cosy books."
    assert changed("synonym", {"text": "A WARM day"}, "text")["text"] == "A COSY day"
    assert changed("synonym", {"text": CHINESE}, "text")["text"] == CHINESE.replace("好看", "精彩")
    assert cased("movie", "Film") == "Movie"


@pytest.mark.parametrize("row", QUESTIONS)
@pytest.mark.parametrize("method", ["random_swap", "random_deletion", "random_insertion", "synonym"])
def test_answers_stay_and_are_found_where_they_stand_now(method: str, row: dict) -> None:
    contexts = set()
    for seed in range(20):
        new = changed(method, row, "context", seed=seed)
        assert qa.refuse(new) is None
        assert [answer["text"] for answer in new["answers"]] == [answer["text"] for answer in row["answers"]]
        assert new["question"] == row["question"]
        contexts.add(new["context"])
    assert contexts != {row["context"]}


@pytest.mark.parametrize("method", ["random_deletion", "random_insertion", "synonym"])
def test_tags_go_with_their_words_and_the_predicate_stays(method: str) -> None:
    roles = dict(zip(ROLES["tokens"], (tag[2:] for tag in ROLES["tags"]), strict=True))
    seen = set()
    for seed in range(40):
        new = changed(method, ROLES, "tokens", seed=seed)
        assert srl.refuse(new) is None
        at = new["predicate"]
        assert new["tokens"][at : at + 2] == ["gave", "up"]
        assert new["tags"][at : at + 2] == ["B-V", "I-V"]
        kept = [(token, tag[2:]) for token, tag in zip(new["tokens"], new["tags"], strict=True) if token in roles]
        assert kept == [(token, roles[token]) for token, _ in kept]
        seen.add(" ".join(new["tokens"]))
    assert seen - {" ".join(ROLES["tokens"])}


def test_what_is_left_of_an_argument_does_not_run_into_the_next_one() -> None:
    text = opened(ROLES, "tokens")
    without = [piece for piece in text.unchanged if piece[0] not in ("老师", "The")]
    new = closed(ROLES, "tokens", text, without)
    assert new["tags"] == ["B-A0", "B-V", "I-V", "B-A1", "I-A1", "I-A1", "B-A1", "O"]
    inside = [piece for old in text.unchanged for piece in (old, *([("novel", None), ("tome", None)] if old[0] == "big" else ()))]
    assert closed(ROLES, "tokens", text, inside)["tags"][4:9] == ["B-A1", "I-A1", "I-A1", "I-A1", "I-A1"]


def test_embeddings_find_words_of_the_same_company_and_are_the_same_each_time() -> None:
    places = {"en": ("in the {} by the river", ("garden", "meadow", "orchard")), "zh": ("老师在{}里看书", ("花园", "学校", "房间"))}
    other = ("the committee voted on {} today", ("taxes", "budgets", "tariffs"))
    texts = [form.format(word) for form, words in (*places.values(), other) for word in words for _ in range(60)]
    numbers = Embeddings(size=16, window=3, min_count=5, epochs=20, max_words=100_000)
    first, second = (neighbours(texts, numbers, 2, seed=1) for _ in range(2))
    assert set(first("garden")) <= {"meadow", "orchard"}
    assert first("garden")
    assert all(not word.isascii() for word in first("花园"))
    assert first("garden") == second("garden")
    assert first("花园") == second("花园")
    assert first("unheard-of") == ()
    assert neighbours(texts, Embeddings(size=16, window=3, min_count=999, epochs=1, max_words=100_000), 2, 1)("garden") == ()


def test_a_translation_is_turned_round_whole() -> None:
    row = {"source": "The bridge.", "target": "大桥。", "source_lang": "en", "target_lang": "zh"}
    assert reverse.change(row) == {"source": "大桥。", "target": "The bridge.", "source_lang": "zh", "target_lang": "en"}


def test_the_way_back_has_to_be_known() -> None:
    assert back_translation.pivots(["en > zh", "en > fr"]) == {}
    assert back_translation.pivots(["en > zh", "zh > en", "en > fr"]) == {"en": "zh", "zh": "en"}
    assert back_translation.pivots(["en > zh", "zh > en", "en > de", "de > en"]) == {"en": "de", "zh": "en", "de": "en"}
    assert [back_translation.language(text) for text in (ENGLISH, CHINESE, "我用 Python", "")] == ["en", "zh", "en", "en"]


@pytest.mark.parametrize(
    ("columns", "methods"),
    [
        (["text", "label"], {"reverse"}),
        (["document", "summary"], {"reverse"}),
        (["tokens", "predicate", "tags"], {"random_swap", "back_translation", "reverse"}),
        (["context", "question", "answers"], {"back_translation", "reverse"}),
        (["source", "target", "source_lang", "target_lang"], {"random_insertion", "synonym", "masked_lm", "back_translation"}),
    ],
)
def test_a_method_that_would_leave_labels_wrong_is_refused(columns: list[str], methods: set[str]) -> None:
    assert {method for method in augmentation.METHODS if augmentation.refused(method, columns)} == methods
