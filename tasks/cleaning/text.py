"""Text as it comes in; text with one way to write the same thing, out."""

import re
import unicodedata
from collections.abc import Callable
from typing import Any

SPACE = re.compile(r"[^\S\n]{2,}|[^\S\n ]")  # of any kind: tabs, no-break and ideographic spaces too
LINE = re.compile(r" \n ?|\n ")
LINES = re.compile(r"\n{3,}")
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\ufeff\ufffe\uffff]")
NEWLINE = re.compile(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]")


def normalize(text: str) -> str:
    """Unicode NFC without control characters, single spaces, at most one blank line in a row, nothing at the ends."""
    odd = not text.replace("\n", " ").isprintable()  # no control character, and no space but the common one: most texts
    if odd:
        text = CONTROL.sub("", NEWLINE.sub("\n", text))
    text = unicodedata.normalize("NFC", text)
    if odd or "  " in text:
        text = SPACE.sub(" ", text)
    if " \n" in text or "\n " in text:
        text = LINE.sub("\n", text)
    return LINES.sub("\n\n", text).strip()


def clean_row(row: dict[str, Any], clean: Callable[[str], str]) -> dict[str, Any] | None:
    """`clean` done to every text of an example; None where an answer no longer stands in its context.

    Lists of words are left as they are: their tags count them.
    """
    after = {name: clean(value) if isinstance(value, str) else value for name, value in row.items()}
    if "answers" in row and after["context"] != row["context"]:
        moved = [_move(answer, row["context"], after["context"], clean) for answer in row["answers"]]
        if None in moved:
            return None
        after["answers"] = moved
    return after


def _move(answer: dict[str, Any], before: str, after: str, clean: Callable[[str], str]) -> dict[str, Any] | None:
    """An answer's place in the cleaned context: after as much text as stood before it."""
    text = clean(answer["text"])
    start = len(clean(f"{before[: answer['start']]}|")) - 1
    return {"text": text, "start": start} if text and after.startswith(text, start) else None
