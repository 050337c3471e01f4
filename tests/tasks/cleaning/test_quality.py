"""Quality: each bound is named when a document is out of it, and the counts agree with plain ones."""

import random
from pathlib import Path

import pytest

from benchmarks import plain
from model.words import segment
from tasks import params, prepare
from tasks.cleaning import quality

SECTION = params.section(params.read(Path(__file__).parents[3] / "params.yaml"), "prepare")
LIMITS = params.build(prepare.Params, SECTION, "prepare").quality
GOOD = (
    "The old man walked to the harbour and looked at the boats that lay there with their sails down. Some had come from Norway, laden with"
    " timber for the new bridge; others were to be sold before winter. Nobody spoke. A gull settled on the wall, looked at him for a moment"
    " and flew off again towards the lighthouse, where his brother used to live."
)
NAMES = " ".join(f"name{first}{second}" for first in "abcdefgh" for second in "klmnopqr")


def reason(text, lang="en"):
    return quality.reasons([{"text": text, "lang": lang}], LIMITS)[0]


@pytest.mark.parametrize(
    ("text", "lang", "why"),
    [
        (GOOD, "en", None),
        ("去年冬天，老师在港口边找到了一封信，信里说的是他哥哥的船和那座长桥的故事。", "zh", None),
        ("a b c d e f g", "en", "words too short"),
        ("Donaudampfschifffahrtsgesellschaft", "de", "words too long"),
        ("words # are words # and words", "en", "symbols"),
        ("1998 2.5 3.5 4.5 up 6.5 1.3", "en", "words without a letter"),
        ("• the first thing\n• the second one\n• another thing", "en", "bullets"),
        ("and then it was...\nbut they had...\nhe was...", "en", "symbols"),
        ("Yes it was.\nYes it was.\nYes it was.\nNo, it never was.", "en", "repeated lines"),
        ("lorem ipsum dolor " * 20, "la", "one phrase again and again"),
        (f"{GOOD} {NAMES} {GOOD}", "en", "repeated phrases"),
        (NAMES, "en", "no stop words"),
        ("。", "zh", "no words"),
    ],
)
def test_the_first_bound_that_a_document_is_out_of_is_named(text, lang, why):
    assert reason(text, lang) == why


def test_documents_of_a_batch_are_judged_as_if_alone_and_as_plain_counting_judges_them():
    draw = random.Random(1)
    vocabulary = ["the", "of", "and", *(f"{draw.choice(('river', 'stone', 'garden'))}{'xyz'[number % 3]}{number}" for number in range(40))]
    texts = [" ".join(draw.choices(vocabulary[: draw.choice((4, 5, 6, 8, 14, 43))], k=draw.randrange(40, 120))) for _ in range(60)]
    batch = quality.reasons([{"text": text, "lang": "en"} for text in texts], LIMITS)
    assert batch == [reason(text) for text in texts]
    assert [why is None for why in batch] == [plain.is_good(text, "en", LIMITS) for text in texts]
    assert 5 < sum(why is None for why in batch) < 55


def test_chinese_is_cut_into_words_of_a_dictionary():
    assert segment("老师找到了一封信。") == ["老师", "找到", "了", "一封信"]
