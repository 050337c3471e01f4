"""PropBank frame files (Palmer, Gildea and Kingsbury 2005) in; the propositions of their examples out."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from tasks.intake.xml_items import elements_of
from tasks.readers import Refused, Row


def read(files: Sequence[Path]) -> Iterator[Row | Refused]:
    """Rows of `tokens`, `predicate` (the place of its first token) and `tags` (BIO, the predicate itself `V`)."""
    for file in files:
        empty = True
        for found in _propositions(file):
            empty = False
            yield found
        if empty:
            yield Refused(file.name, "no example with a proposition in it", counts=False)


def _propositions(file: Path) -> Iterator[Row | Refused]:
    for example in elements_of(file, "example"):
        if isinstance(example, Refused):
            yield example
            continue
        tokens = (example.findtext("text") or "").split()
        for proposition in example.findall("propbank"):
            try:
                yield _row(tokens, proposition)
            except ValueError as error:
                yield Refused(f"{file.name}: {example.get('name')}", str(error))


def _row(tokens: list[str], proposition: Element) -> Row:
    """The proposition as tags over `tokens`.

    Raises:
        ValueError: it has no predicate, or a span is not in the text or is taken already.
    """
    rel = proposition.find("rel")
    if rel is None:
        raise ValueError("no predicate")
    places = _numbers(rel.get("relloc"))
    tags = ["O"] * len(tokens)
    for first, last in _runs(places):
        _mark(tags, tokens, first, last, "V" if first == places[0] else "C-V")
    if [tokens[place] for place in places] != (rel.text or "").split():
        raise ValueError(f"the predicate is not {rel.text!r} where it is said to be")
    for argument in proposition.findall("arg"):
        (first,), (last,) = _numbers(argument.get("start")), _numbers(argument.get("end"))
        _mark(tags, tokens, first, last, argument.get("type") or "ARG")
        if tokens[first : last + 1] != (argument.text or "").split():
            raise ValueError(f"{argument.get('type')} is not {argument.text!r} where it is said to be")
    return {"tokens": tokens, "predicate": places[0], "tags": tags}


def _numbers(written: str | None) -> list[int]:
    if not written or not all(part.isdigit() for part in written.split()):
        raise ValueError(f"a place is {written!r}, not a number")
    return [int(part) for part in written.split()]


def _runs(places: list[int]) -> Iterator[tuple[int, int]]:
    """The runs of neighbours in `places`, as (first, last)."""
    first = places[0]
    for place, following in zip(places, [*places[1:], None], strict=True):
        if following != place + 1:
            yield first, place
            first = following if following is not None else first


def _mark(tags: list[str], tokens: list[str], first: int, last: int, role: str) -> None:
    if not first <= last < len(tokens):
        raise ValueError(f"{role} at {first} to {last}, but the text has {len(tokens)} tokens")
    if any(tag != "O" for tag in tags[first : last + 1]):
        raise ValueError(f"{role} at {first} to {last} overlaps another span")
    tags[first : last + 1] = [f"B-{role}"] + [f"I-{role}"] * (last - first)
