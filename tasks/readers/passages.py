"""Passages with a question and its answers in words (JSON lines) in; questions with the spans that answer them out."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tasks.intake.json_items import loads
from tasks.intake.lines import lines_of
from tasks.readers import Refused, Row


def read(files: Sequence[Path], unanswerable: str | None = None) -> Iterator[Row | Refused]:
    """Rows of `context`, `question`, `answers`: each answer where it first stands in the passage as whole words, in any case.

    Questions whose answers are all in other words than the passage's, or only `unanswerable`, are left out.
    """
    for file in files:
        for line in lines_of(file):
            if isinstance(line, Refused):
                yield line
                continue
            try:
                found = loads(line.text)
                context, question, answers = found["passage"].strip(), found["question"].strip(), found["answer"]
                wanted = {answer.strip().rstrip(".") for answer in ([answers] if isinstance(answers, str) else answers)} - {
                    "",
                    unanswerable,
                }
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                yield Refused(line.where, f"expected passage, question and answer ({error})")
                continue
            matches = (re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", context, re.IGNORECASE) for answer in wanted)
            if spans := sorted({match.span() for match in matches if match}):
                answered = [{"text": context[start:end], "start": start} for start, end in spans]
                yield {"context": context, "question": question, "answers": answered}
