"""A text in; the language it is written in, out: by its script, by its commonest words, else by a model."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from model.params import STRICT, Positive, Share

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
KANA = re.compile(r"[\u3041-\u30ff]")
LETTER = re.compile(r"[^\W\d_]")
ENOUGH_HAN, ENOUGH_KANA = 0.3, 0.05  # of its letters, for a text to be Chinese, and not to be

ENGLISH = re.compile(r"\b(?:the|and|that|with|this|which|was|were|been|would|their|they|have)\b")
ENOUGH_ENGLISH = 0.03  # of its letters, in such words: no other language has them

CHINESE = frozenset({"zh", "wuu", "yue"})  # the model's names for what `zh` is here


@dataclass(frozen=True, kw_only=True)
class Languages:
    """Section `prepare.language` of params.yaml: which documents stay."""

    __pydantic_config__ = STRICT

    enabled: bool
    keep: tuple[str, ...] | None  # other languages are dropped; null: all stay
    min_probability: Share  # for the model to be believed against what the source says
    sample_characters: Positive  # from the middle of a text, for the model


def identify(text: str, sample_characters: int) -> tuple[str, float]:
    """The ISO 639-1 code of the language, and how sure that is; the model is langid's (Lui and Baldwin, 2012), retrained."""
    start = max(0, (len(text) - sample_characters) // 2)
    sample = text[start : start + sample_characters]
    letters = len(LETTER.findall(sample))
    if not letters:
        return "und", 0.0
    if not sample.isascii() and len(HAN.findall(sample)) >= ENOUGH_HAN * letters and len(KANA.findall(sample)) < ENOUGH_KANA * letters:
        return "zh", 1.0
    if sum(map(len, ENGLISH.findall(sample))) >= ENOUGH_ENGLISH * letters:
        return "en", 1.0
    language, probability = _model().classify(sample)
    return "zh" if language in CHINESE else language, probability


@lru_cache(maxsize=1)
def _model() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def verdict(text: str, declared: str | None, rules: Languages) -> tuple[str, str | None]:
    """The language of a document, and why it is to be dropped or None.

    What its source declares is believed unless the model is sure of another language.
    """
    found, probability = identify(text, rules.sample_characters)
    sure = probability >= rules.min_probability
    language = found if sure or declared is None else declared
    if rules.keep is not None and language not in rules.keep:
        return language, f"in {language}"
    if declared is not None and language != declared:
        return language, f"declared {declared}, but in {language}"
    return language, None
