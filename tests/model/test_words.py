from model.words import sentences, words


def test_a_chinese_character_is_a_word_and_punctuation_is_none() -> None:
    assert words("The cat's 2 books, 你好。") == ["the", "cat", "s", "2", "books", "你", "好"]


def test_sentences_end_in_any_language() -> None:
    assert sentences("It rains. Does it? 下雨了。真的吗?是的！\nYes") == ["It rains.", "Does it?", "下雨了。", "真的吗?是的！", "Yes"]


def test_nothing_has_no_words_and_no_sentences() -> None:
    assert words(" \n") == []
    assert sentences(" \n") == []
