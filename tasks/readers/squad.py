"""SQuAD-format JSON (Rajpurkar et al. 2016, 2018) in; questions with the spans that answer them out."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from model.errors import UserError
from tasks.readers import Refused, Row, text_of


def read(files: Sequence[Path]) -> Iterator[Row | Refused]:
    """Rows of `context`, `question`, `answers`; no answers where a question is impossible."""
    for file in files:
        try:
            articles = json.loads(text_of(file))["data"]
            paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise UserError(f"{file.name}: not a SQuAD file ({error}); it needs data, then paragraphs") from None
        for number, paragraph in enumerate(paragraphs):
            try:
                yield from _rows(paragraph)
            except (KeyError, TypeError) as error:
                yield Refused(f"{file.name}, paragraph {number}", f"no {error}")


def _rows(paragraph: dict) -> Iterator[Row]:
    for question in paragraph["qas"]:
        found = [] if question.get("is_impossible") else question["answers"]
        answers = {(answer["answer_start"], answer["text"]) for answer in found}
        yield {
            "context": paragraph["context"],
            "question": question["question"].strip(),
            "answers": [{"text": text, "start": start} for start, text in sorted(answers)],
        }
