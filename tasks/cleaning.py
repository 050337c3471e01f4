"""Text as it comes in; text with one way to write the same thing, out."""

import re
import unicodedata
from typing import Any

SPACE = re.compile(r"[^\S\n]{2,}|[^\S\n ]")  # of any kind: tabs, no-break and ideographic spaces too
LINE = re.compile(r" \n ?|\n ")
LINES = re.compile(r"\n{3,}")
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\ufeff\ufffe\uffff]")
NEWLINE = re.compile(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]")

HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
LETTER = re.compile(r"[^\W\d_]")
ENOUGH_HAN = 0.3  # of its letters, for a text to be Chinese


def normalize(text: str) -> str:
    """Unicode NFC without control characters, single spaces, at most one blank line in a row, nothing at the ends."""
    text = unicodedata.normalize("NFC", CONTROL.sub("", NEWLINE.sub("\n", text)))
    return LINES.sub("\n\n", LINE.sub("\n", SPACE.sub(" ", text))).strip()


def normalize_row(row: dict[str, Any]) -> dict[str, Any] | None:
    """The same for every text of an example; None where an answer no longer stands in its context.

    Lists of words are left as they are: their tags count them.
    """
    clean = {name: normalize(value) if isinstance(value, str) else value for name, value in row.items()}
    if "answers" in row:
        moved = [_move(answer, row["context"], clean["context"]) for answer in row["answers"]]
        if None in moved:
            return None
        clean["answers"] = moved
    return clean


def _move(answer: dict[str, Any], context: str, clean: str) -> dict[str, Any] | None:
    """An answer's place in the normalized context: after as much text as stood before it."""
    if clean == context and normalize(answer["text"]) == answer["text"]:
        return answer
    text = normalize(answer["text"])
    start = len(normalize(f"{context[: answer['start']]}|")) - 1
    return {"text": text, "start": start} if text and clean.startswith(text, start) else None


def language(text: str) -> str:
    """`zh` or `en`, by script."""
    letters = len(LETTER.findall(text))
    return "zh" if letters and len(HAN.findall(text)) >= ENOUGH_HAN * letters else "en"
