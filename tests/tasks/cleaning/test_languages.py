"""Languages: what a text is written in, and when a document is dropped for it."""

import pytest

from tasks.cleaning.languages import Languages, identify, verdict

RULES = Languages(enabled=True, keep=None, min_probability=0.95, sample_characters=300)
ENGLISH = "The committee said that they would have been with the minister when this was announced. " * 2
CHINESE = "委员会表示，他们将在宣布这一消息时与部长在一起，并且会继续工作。GDP 增长 3%。"
FRENCH = (
    "Le comité a déclaré qu'il serait avec le ministre lorsque la nouvelle serait annoncée au public, mais pas avant le printemps. " * 3
)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (ENGLISH, "en"),
        (CHINESE, "zh"),
        (FRENCH, "fr"),
        ("委員會はその発表のとき大臣と一緒にいると述べました。これからも仕事を続けます。", "ja"),
        ("Der Ausschuss erklärte, er werde bei der Bekanntgabe mit dem Minister zusammen sein und dann weiterarbeiten.", "de"),
        ("12345 -- 67", "und"),
    ],
)
def test_a_language_is_told_by_script_by_common_words_or_by_the_model(text, language):
    assert identify(text, 300)[0] == language


def test_what_is_surely_in_another_language_than_its_source_declares_is_dropped():
    assert verdict(ENGLISH, "en", RULES) == ("en", None)
    assert verdict(FRENCH, "en", RULES) == ("fr", "declared en, but in fr")
    assert verdict("Ok la", "en", RULES) == ("en", None)  # too little to be sure


def test_only_the_languages_that_are_kept_stay():
    chosen = Languages(enabled=True, keep=("en", "zh"), min_probability=0.95, sample_characters=300)
    assert [verdict(text, None, chosen)[1] for text in (ENGLISH, CHINESE, FRENCH)] == [None, None, "in fr"]
