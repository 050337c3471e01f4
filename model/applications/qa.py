"""Question answering: a passage and a question in, the span of the passage that answers it out, or nothing."""

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ..words import sentences, unspaced, words
from . import Row

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..features import Feature
    from ..params import Decoding, Fitting

SCHEMA = pa.schema(
    [
        ("context", pa.string()),
        ("question", pa.string()),
        ("answers", pa.list_(pa.struct([("text", pa.string()), ("start", pa.int32())]))),  # start: of its first character in context
    ]
)
INPUTS = ("context", "question")
METRIC = "f1"
EXAMPLE = {"context": "The bridge was opened in 1932. It carries two railway tracks.", "question": "When was the bridge opened?"}

UNANSWERABLE = "unanswerable"
LONGEST_ANSWER = 30  # tokens


def refuse(row: Row) -> str | None:
    """Why a row of the right types cannot be used, or None."""
    if empty := [name for name in INPUTS if not row[name].strip()]:
        return f"{empty[0]}: empty"
    for answer in row["answers"]:
        if not answer["text"] or row["context"][answer["start"] : answer["start"] + len(answer["text"])] != answer["text"]:
            return f"answers: {answer['text']!r} does not stand at character {answer['start']} of context"
    return None


def split_key(row: Row) -> str:
    """The text whose hash decides the split: the passage, which may have several questions."""
    return str(row["context"])


def labels(rows: Sequence[Row]) -> list[str]:
    """`unanswerable` if some question is: only then may the model give no answer."""
    return [UNANSWERABLE] if any(not row["answers"] for row in rows) else []


def open_model(folder: Path, labels: Sequence[str], dropout: float) -> "PreTrainedModel":
    """The base of `folder` with two outputs a token: how likely an answer starts, and ends, there."""
    from transformers import AutoModelForQuestionAnswering

    from ..heads import open_head

    return open_head(AutoModelForQuestionAnswering, folder, dropout, num_labels=2, may_abstain=UNANSWERABLE in labels)


def encode(rows: Sequence[Row], tokenizer: "PreTrainedTokenizerBase", context: int, labels: Sequence[str]) -> "list[Feature]":
    """Windows over each passage: all that hold the first answer whole, and one that does not, which points at its first token."""
    features: list[Feature] = []
    for row, windows in zip(rows, _windows(rows, tokenizer, context), strict=True):
        spans = [window.span(row["answers"][0]) if row["answers"] else None for window in windows]
        features += [_feature(window, *span) for window, span in zip(windows, spans, strict=True) if span]
        without = [window for window, span in zip(windows, spans, strict=True) if not span]
        if without:
            features.append(_feature(without[zlib.crc32(row["question"].encode()) % len(without)], 0, 0))
    return features


def predict(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: Sequence[Row],
    context: int,
    batch_size: int,
    decoding: "Decoding",
) -> list[dict[str, Any]]:
    """The `answer` of each row, empty for none, and its `score`: the log of how much likelier it is than none."""
    import torch

    from ..features import Special, by_length, padded

    pad = Special.of(tokenizer).pad
    windows = [(at, window) for at, row in enumerate(_windows(rows, tokenizer, context)) for window in row]
    best = [("", -np.inf)] * len(rows)
    model.eval()
    with torch.inference_mode():
        for indices in by_length([len(window.ids) for _, window in windows], batch_size):
            batch = padded([{"input_ids": windows[index][1].ids} for index in indices], pad)
            outputs = model(**{name: value.to(model.device) for name, value in batch.items()})
            starts, ends = (scores.float().log_softmax(-1).cpu().numpy() for scores in (outputs.start_logits, outputs.end_logits))
            for index, start, end in zip(indices, starts, ends, strict=True):
                at, window = windows[index]
                text, score = window.best(rows[at]["context"], start, end)
                if score > best[at][1]:
                    best[at] = (text, score)
    abstains = model.config.may_abstain
    return [{"answer": "" if abstains and score < 0 else text, "score": round(max(float(score), -99.0), 4)} for text, score in best]


def statistics(rows: Sequence[Row], predictions: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """1, exact match and F1 against the closest answer (Rajpurkar et al. 2016, 2018), shape (rows, 3)."""
    scores = []
    for row, prediction in zip(rows, predictions, strict=True):
        told = normalised(prediction["answer"])
        answers = [normalised(answer["text"]) for answer in row["answers"]] or [[]]
        scores.append([1.0, max(float(told == answer) for answer in answers), max(overlap(told, answer) for answer in answers)])
    return np.array(scores).reshape(len(rows), 3)


def metrics(total: np.ndarray) -> dict[str, float]:
    """Mean exact match and mean F1, 0 to 1."""
    return {"exact_match": float(total[1] / max(total[0], 1)), "f1": float(total[2] / max(total[0], 1))}


def baselines(train: Sequence[Row], rows: Sequence[Row], params: "Fitting") -> dict[str, list[dict[str, Any]]]:
    """The sentence of the passage that shares most words with the question, the first of them."""
    return {"best-overlap sentence": [{"answer": _nearest(row)} for row in rows]}


def normalised(text: str) -> list[str]:
    """The words of an answer as SQuAD's script has them: lower case, no punctuation, no articles; a Chinese character is a word."""
    bare = "".join(character for character in text.lower() if unspaced(character) or (re.match(r"[\w\s]", character) and character != "_"))
    spread = "".join(f" {character} " if unspaced(character) else character for character in bare)
    return [word for word in spread.split() if word not in ("a", "an", "the")]


def overlap(told: Sequence[str], answer: Sequence[str]) -> float:
    """F1 of the words of two answers; two empty ones agree."""
    if not told or not answer:
        return float(told == answer)
    shared = sum((Counter(told) & Counter(answer)).values())
    return 2 * shared / (len(told) + len(answer))


@dataclass(frozen=True)
class _Window:
    """A question and a stretch of its passage, as tokens; `offsets` are of the stretch's characters in the passage."""

    ids: list[int]
    first: int  # the place of the stretch's first token in ids
    offsets: list[tuple[int, int]]

    def span(self, answer: Mapping[str, Any]) -> tuple[int, int] | None:
        """The places of an answer's first and last token, if all of it is here."""
        start, end = answer["start"], answer["start"] + len(answer["text"])
        touched = [at for at, (left, right) in enumerate(self.offsets) if left < end and right > start]
        if not touched or self.offsets[touched[0]][0] > start or self.offsets[touched[-1]][1] < end:
            return None
        return self.first + touched[0], self.first + touched[-1]

    def best(self, passage: str, start: np.ndarray, end: np.ndarray) -> tuple[str, float]:
        """The likeliest span's text, and its log probability over that of none."""
        if not self.offsets:
            return "", 0.0
        here = slice(self.first, self.first + len(self.offsets))
        scores = np.tril(np.triu(np.ones((len(self.offsets),) * 2)), LONGEST_ANSWER - 1)
        scores = np.where(scores > 0, start[here, None] + end[None, here], -np.inf)
        left, right = np.unravel_index(scores.argmax(), scores.shape)
        text = passage[self.offsets[left][0] : self.offsets[right][1]].strip()
        return text, float(scores[left, right] - start[0] - end[0])


def _windows(rows: Sequence[Row], tokenizer: "PreTrainedTokenizerBase", context: int) -> Iterator[list[_Window]]:
    """The windows of each row; neighbours share so much that each answer of `LONGEST_ANSWER` tokens is whole in one of them."""
    from ..features import PLAIN, Special, token_ids

    special = Special.of(tokenizer)
    questions = token_ids(tokenizer, [row["question"] for row in rows])
    passages = {text: tokenizer(text, **PLAIN, return_offsets_mapping=True) for text in {row["context"] for row in rows}}
    for row, question in zip(rows, questions, strict=True):
        ids, offsets = passages[row["context"]]["input_ids"], passages[row["context"]]["offset_mapping"]
        head = [special.first, *question[: context // 3], special.separator]
        size = context - len(head) - 1
        step = max(size - LONGEST_ANSWER, size // 2)
        starts = range(0, max(len(ids) - size, 0) + step, step)
        yield [_Window([*head, *ids[at : at + size], special.separator], len(head), offsets[at : at + size]) for at in starts]


def _feature(window: _Window, start: int, end: int) -> "Feature":
    return {"input_ids": window.ids, "start_positions": start, "end_positions": end}


def _nearest(row: Row) -> str:
    asked = set(words(row["question"]))
    return max(sentences(row["context"]), key=lambda sentence: len(asked & set(words(sentence))), default="")
