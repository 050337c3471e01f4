"""SQuAD-format JSON (Rajpurkar et al. 2016, 2018) in; questions with the spans that answer them out."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tasks.intake.json_items import items_of
from tasks.readers import Refused, Row


def read(files: Sequence[Path]) -> Iterator[Row | Refused]:
    """Rows of `context`, `question`, `answers`; no answers where a question is impossible."""
    for file in files:
        number = 0
        for article in items_of(file):
            if isinstance(article, Refused):
                yield article
                continue
            try:
                paragraphs = list(article.value["paragraphs"])
            except (KeyError, TypeError):
                yield Refused(article.where, "not a SQuAD article: it needs paragraphs")
                continue
            for paragraph in paragraphs:
                yield from _questions(f"{file.name}, paragraph {number}", paragraph)
                number += 1


def _questions(where: str, paragraph: Any) -> Iterator[Row | Refused]:
    try:
        context, questions = paragraph["context"], list(paragraph["qas"])
    except (KeyError, TypeError) as error:
        yield Refused(where, f"no {error}")
        return
    for place, question in enumerate(questions):
        try:
            found = [] if question.get("is_impossible") else question["answers"]
            answers = {(answer["answer_start"], answer["text"]) for answer in found}
            yield {
                "context": context,
                "question": question["question"].strip(),
                "answers": [{"text": text, "start": start} for start, text in sorted(answers)],
            }
        except (KeyError, TypeError, AttributeError) as error:
            yield Refused(f"{where}, question {place}", f"not a SQuAD question: {error}")
