from model.words import pieces, sentences, words


def test_a_chinese_character_is_a_word_and_punctuation_is_none() -> None:
    assert words("The cat's 2 books, 你好。") == ["the", "cat", "s", "2", "books", "你", "好"]


def test_sentences_end_in_any_language() -> None:
    assert sentences("It rains. Does it? 下雨了。真的吗?是的！\nYes") == ["It rains.", "Does it?", "下雨了。", "真的吗?是的！", "Yes"]


def test_nothing_has_no_words_and_no_sentences() -> None:
    assert words(" \n") == []
    assert sentences(" \n") == []


def test_pieces_are_words_of_both_languages_and_together_the_text() -> None:
    text = "The cat's  2.5 books,\n这本书非常好看。"
    assert pieces(text) == ["The", " ", "cat's", "  ", "2", ".", "5", " ", "books", ",", "\n", "这", "本书", "非常", "好看", "。"]
    assert "".join(pieces(text)) == text
