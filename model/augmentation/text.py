"""The text of a row as pieces that may be changed, and the row put together again with its labels where they belong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from ..words import pieces, unspaced

Row = Mapping[str, Any]
Changed = Sequence[tuple[str, int | None]]  # the pieces that are there now, each with its place in the old text; None: it is new


@dataclass(frozen=True)
class Text:
    """Pieces of a text in their order. What is `fixed` stays as it is, in one piece."""

    pieces: tuple[str, ...]
    fixed: frozenset[int] = field(default_factory=frozenset)
    listed: bool = False  # the words of a list, without the spaces between them

    @property
    def unchanged(self) -> list[tuple[str, int | None]]:
        return [(piece, at) for at, piece in enumerate(self.pieces)]

    @property
    def words(self) -> list[int]:
        """The places of the words that may be changed: no marks, no space."""
        return [at for at, piece in enumerate(self.pieces) if at not in self.fixed and any(map(str.isalnum, piece))]

    @property
    def string(self) -> str:
        return (" " if self.listed else "").join(self.pieces)

    @property
    def offsets(self) -> list[int]:
        """Where each piece starts in `string`, in characters."""
        return [0, *accumulate(len(piece) + self.listed for piece in self.pieces)][: len(self.pieces)]

    def after(self, at: int, word: str) -> list[tuple[str, int | None]]:
        """`word` as new pieces behind the piece at `at`."""
        joined = self.listed or unspaced(word) or unspaced(self.pieces[at])
        return [(word, None)] if joined else [(" ", None), (word, None)]

    def number(self, share: float) -> int:
        """How many words a method changes: `share` of them, but one at least (Wei and Zou, 2019)."""
        return max(1, round(share * len(self.words)))


def opened(row: Row, column: str) -> Text:
    """The text of `column`: a predicate with its particles and the answers to a question are fixed."""
    if "tags" in row:
        spans = _spans(row["tags"])
        fixed = {at for at, span in enumerate(spans) if span is not None and span == spans[row["predicate"]]}
        return Text(tuple(row["tokens"]), frozenset(fixed | {row["predicate"]}), listed=True)
    text = Text(tuple(pieces(row[column])))
    fixed = {at for answer in row.get("answers", ()) for at in _touched(text, answer)}
    return Text(text.pieces, frozenset(fixed))


def closed(row: Row, column: str, text: Text, changed: Changed) -> dict[str, Any]:
    """The row with `changed` for `text`: tags go with their words, answers start where they stand now."""
    if "tags" in row:
        return {**row, **_tagged(row, changed)}
    written: dict[str, Any] = {column: "".join(piece for piece, _ in changed)}
    if "answers" in row:
        now = dict(zip((place for _, place in changed), accumulate((len(piece) for piece, _ in changed), initial=0), strict=False))
        written["answers"] = [_moved(answer, text, now) for answer in row["answers"]]
    return {**row, **written}


def cased(word: str, like: str) -> str:
    """`word` with the capitals of `like`."""
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if like[:1].isupper() else word


def _touched(text: Text, answer: Mapping[str, Any]) -> list[int]:
    start, end = answer["start"], answer["start"] + len(answer["text"])
    return [at for at, (piece, left) in enumerate(zip(text.pieces, text.offsets, strict=True)) if left < end and left + len(piece) > start]


def _moved(answer: Mapping[str, Any], text: Text, now: Mapping[int | None, int]) -> dict[str, Any]:
    first = _touched(text, answer)[0]
    return {**answer, "start": now[first] + answer["start"] - text.offsets[first]}


def _spans(tags: Sequence[str]) -> list[int | None]:
    """The number of each tag's span, None outside of all."""
    begins = accumulate(not tag.startswith("I-") for tag in tags)
    return [None if tag == "O" else number for tag, number in zip(tags, begins, strict=True)]


def _tagged(row: Row, changed: Changed) -> dict[str, Any]:
    """A new word is of the span around it, if there is one; what is left of a span begins with B-."""
    spans = _spans(row["tags"])
    of: list[int | None] = []
    for at, (_, place) in enumerate(changed):
        if place is None:
            behind = next((spans[later] for _, later in changed[at:] if later is not None), None)
            of.append(behind if of and of[-1] == behind else None)
        else:
            of.append(spans[place])
    roles = {span: tag[2:] for span, tag in zip(spans, row["tags"], strict=True)}
    sides = ["I" if span == before else "B" for before, span in zip([None, *of], of, strict=False)]
    tags = ["O" if span is None else f"{side}-{roles[span]}" for side, span in zip(sides, of, strict=True)]
    places = [place for _, place in changed]
    return {"tokens": [piece for piece, _ in changed], "tags": tags, "predicate": places.index(row["predicate"])}
