"""Contamination: what counts as a passage of a test split."""

import random

from tasks.cleaning import units
from tasks.cleaning.contamination import HeldOut, Overlap, texts_of

HELD_OUT_ZH = "大桥于一九三二年建成通车至今承载着两条铁路轨道和四条行车道路每天有数万人经过"
SIZE = Overlap(enabled=True, words=13, characters=20, max_texts=3)


def held_out(*rows):
    return HeldOut([("qa", rows)], SIZE)


def found(tests, *rows):
    return [match and match.passage for match in held_out(*tests).find(rows)]


def test_a_passage_is_thirteen_words_or_twenty_characters_whatever_the_case_and_punctuation():
    words = [f"word{number}" for number in range(20)]
    tests = [[" ".join(words)], [HELD_OUT_ZH]]
    assert found(tests, ["x " + ", ".join(words[3:16]).upper()]) == [", ".join(words[3:16])]
    assert found(tests, [" ".join(words[3:15])]) == [None]
    assert found(tests, [f"一{HELD_OUT_ZH[5:25]}二"]) == [HELD_OUT_ZH[5:25]]
    assert found(tests, [HELD_OUT_ZH[5:24]]) == [None]


def test_a_passage_does_not_reach_from_one_text_into_the_next():
    words = [f"word{number}" for number in range(13)]
    assert found([[" ".join(words)]], [" ".join(words[:7])], [" ".join(words[7:])]) == [None, None]


def test_a_short_text_counts_only_as_a_whole_and_only_the_main_one():
    tests = [["Wow!", "positive"]]
    assert found(tests, ["WOW", "x"], ["Wow, positive"], ["other", "Wow!"], ["!"]) == ["WOW", None, None, None]


def test_what_many_test_texts_have_is_a_phrase_and_no_passage():
    phrase = " ".join(f"word{number}" for number in range(13))
    assert found([[f"{phrase} {number}"] for number in range(3)] + [[f"{phrase} 2"]], [f"Now {phrase}."]) == [phrase]
    assert found([[f"{phrase} {number}"] for number in range(4)], [f"Now {phrase}."]) == [None]


def test_tags_are_no_text():
    assert texts_of({"tokens": ["A", "b"], "predicate": 1, "tags": ["O"] * 20}) == ["A b"]
    assert texts_of({"context": "c", "question": "q", "answers": []}) == ["c", "q"]


def test_planted_passages_are_found_and_unrelated_texts_are_not():
    draw = random.Random(1)
    vocabulary = [f"w{number}" for number in range(2000)]
    tests = [[" ".join(draw.choices(vocabulary, k=60))] for _ in range(200)]
    others = [" ".join(draw.choices(vocabulary, k=80)) for _ in range(200)]
    planted = [f"{other} {' '.join(test.split()[20:33])} {other}" for other, [test] in zip(others, tests, strict=True)]
    assert all(found(tests, *([text] for text in planted)))
    assert not any(found(tests, *([text] for text in others)))


def test_words_and_characters_keep_their_places():
    spans = units.words(["Ein Straßenbahn-Zug", "", "中文 abc"])
    assert [spans.text[first:last] for first, last in zip(spans.starts, spans.ends, strict=True)] == ["ein", "strassenbahn", "zug", "abc"]
    assert spans.bounds.tolist() == [0, 3, 3, 4]
    assert units.characters(["中文 abc", "字"]).bounds.tolist() == [0, 2, 3]
    one, two = units.words(["abc x"]), units.words(["longer text before: abc"])
    assert one.numbers[0] == two.numbers[-1]
    assert one.numbers[0] != one.numbers[1]
