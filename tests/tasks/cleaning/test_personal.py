"""Personal data: every kind is found and masked, in both languages, and look-alikes are left alone."""

import pytest

from benchmarks import personal_data
from tasks.cleaning import personal

KINDS = tuple(personal.FINDERS)


def masked(text, kinds=KINDS):
    return personal.mask(text, kinds)[0]


def test_recall_and_precision_of_each_kind_on_a_labelled_set_are_above_95_per_cent():
    scores, _ = personal_data.measure(list(personal_data.items(100, seed=7)))
    assert sum(score.planted for score in scores.values()) >= 500
    assert {kind: (score.recall, score.precision) for kind, score in scores.items() if min(score.recall, score.precision) <= 0.95} == {}


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("写信给zhang.wei@163.com，或打电话（０１０）６２５１１２３４。", "写信给[EMAIL]，或打电话[PHONE]。"),
        ("电话：5401220、5401210", "电话：[PHONE]、[PHONE]"),
        ("身份证11010519491231002X，卡号4111 1111 1111 1111", "身份证[ID_NUMBER]，卡号[BANK_CARD]"),
        ("from 8.8.8.8 and 2001:db8::7334 at 12:30:45", "from [IP_ADDRESS] and [IP_ADDRESS] at 12:30:45"),
        ('{"api_key": "a1b2c3d4e5f6"}', '{"api_key": "[ACCESS_KEY]"}'),
        ("no personal data in 2024, nor in v1.2.3.4", "no personal data in 2024, nor in v1.2.3.4"),
    ],
)
def test_an_item_becomes_the_name_of_its_kind(text, after):
    assert masked(text) == after
    assert masked(after) == after


def test_only_the_kinds_that_are_asked_for_are_masked_and_counted():
    text, kinds = personal.mask("ada@example.org, 13812345678, bob@example.org", ("email",))
    assert text == "[EMAIL], 13812345678, [EMAIL]"
    assert kinds == {"email": 2}
