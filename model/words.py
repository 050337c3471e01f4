"""Words and sentences of a text in any language: metrics and baselines count in them."""

import re

# Han, kana and Hangul are written without spaces between words: each character counts as one.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
_PIECE = re.compile(rf"[{_UNSPACED}]+|[^\W_{_UNSPACED}]+(?:['’][^\W_{_UNSPACED}]+)*|\s+|.", re.DOTALL)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)]*\s+|(?<=[。！？])(?![。！？”’」）])|(?<=[。！？][”’」）])|\n+")


def words(text: str) -> list[str]:
    """Lower-case runs of letters and digits; a Chinese, Japanese or Korean character is a word of its own."""
    return _WORD.findall(text.lower())


def segment(text: str) -> list[str]:
    """The words of a Chinese text by jieba's dictionary and hidden Markov model, without punctuation."""
    import rjieba

    return [word for word in rjieba.cut(text) if word[0].isalnum()]


def pieces(text: str) -> list[str]:
    """`text` cut into words, runs of space and single marks; joined they are the text. Jieba cuts what has no spaces."""
    import rjieba

    cut = [rjieba.cut(run) if len(run) > 1 and unspaced(run) else [run] for run in _PIECE.findall(text)]
    return [piece for run in cut for piece in run]


def sentences(text: str) -> list[str]:
    """The sentences of `text`, without the space around them; none of them is empty."""
    return [sentence for piece in _SENTENCE_END.split(text) if (sentence := piece.strip())]


def unspaced(text: str) -> bool:
    """Whether `text` begins with a character of a script written without spaces."""
    return re.match(f"[{_UNSPACED}]", text) is not None
