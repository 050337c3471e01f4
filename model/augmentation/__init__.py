"""New training rows made of old ones: one module per method, each a change of the words of one text that leaves the row's labels right.

What a row's labels allow is told by its columns: `tags` go by the words in their order, `answers` point into their context, and a `target`
says what its source says.
"""

from collections.abc import Collection

METHODS = ("random_swap", "random_deletion", "random_insertion", "synonym", "masked_lm", "back_translation", "reverse")

_NO_TRANSLATION = "nothing to turn round: the rows are no translations"
_REFUSED = {  # by column, why a method would leave its labels wrong
    "tags": {
        "random_swap": "the tags follow the order of the words",
        "back_translation": "the tags are of the words that are there",
        "reverse": _NO_TRANSLATION,
    },
    "answers": {"back_translation": "the answers are passages of the text as it is", "reverse": _NO_TRANSLATION},
    "source_lang": dict.fromkeys(
        ("random_insertion", "synonym", "masked_lm", "back_translation"), "the target would not say the same any more"
    ),
}


def refused(method: str, columns: Collection[str]) -> str | None:
    """Why `method` is not for rows of these columns, or None."""
    for column, reasons in _REFUSED.items():
        if column in columns:
            return reasons.get(method)
    return _NO_TRANSLATION if method == "reverse" else None
