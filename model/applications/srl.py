"""Semantic role labelling: the words of a sentence and the place of its predicate in, who did what to whom as BIO tags out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ..errors import UserError
from ..words import unspaced
from . import Row

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..features import Feature
    from ..params import Decoding, Fitting

SCHEMA = pa.schema([("tokens", pa.list_(pa.string())), ("predicate", pa.int32()), ("tags", pa.list_(pa.string()))])
INPUTS = ("tokens", "predicate")  # predicate: its place in tokens, from 0
METRIC = "span_f1"
EXAMPLE = {"tokens": ["The", "teacher", "gave", "the", "girl", "a", "book", "."], "predicate": 2}

PREDICATE = "V"  # the role of the predicate itself; given, so it does not count
Span = tuple[str, int, int]  # role, first word, word after the last


def refuse(row: Row) -> str | None:
    """Why a row of the right types cannot be used, or None."""
    tokens, tags = row["tokens"], row["tags"]
    if not tokens or not all(token.strip() for token in tokens):
        return "tokens: empty, or with an empty word"
    if len(tags) != len(tokens):
        return f"tags: {len(tags)} for {len(tokens)} tokens"
    if not 0 <= row["predicate"] < len(tokens):
        return _misplaced(row)
    for before, tag in zip(["O", *tags], tags, strict=False):
        if tag != "O" and tag[:2] not in ("B-", "I-"):
            return f"tags: {tag!r} is not B-ROLE, I-ROLE or O"
        if not _follows(before, tag):
            return f"tags: {tag} after {before}"
    return None


def split_key(row: Row) -> str:
    """The text whose hash decides the split: the sentence, which has an example for each of its predicates."""
    return " ".join(row["tokens"])


def labels(rows: Sequence[Row]) -> list[str]:
    """The tags of training rows, sorted; every role has both of its tags."""
    roles = {tag[2:] for row in rows for tag in row["tags"] if tag != "O"}
    return sorted({"O", *(f"{side}-{role}" for role in roles for side in "BI")})


def open_model(folder: Path, labels: Sequence[str], dropout: float) -> "PreTrainedModel":
    """The base of `folder` with an output for each tag at each token."""
    from transformers import AutoModelForTokenClassification

    from ..heads import names_of, open_head

    return open_head(AutoModelForTokenClassification, folder, dropout, **names_of(list(labels)))


def encode(rows: Sequence[Row], tokenizer: "PreTrainedTokenizerBase", context: int, labels: Sequence[str]) -> "list[Feature]":
    """Each sentence with separators around its predicate; a word's tag is the label of its first token, an unknown tag is ignored."""
    from ..vocabulary import IGNORED

    index = {label: at for at, label in enumerate(labels)}
    features: list[Feature] = []
    for row, sentence in zip(rows, _sentences(rows, tokenizer, context), strict=True):
        targets = [IGNORED] * len(sentence.ids)
        for word, place in sentence.places.items():
            targets[place] = index.get(row["tags"][word], IGNORED)
        features.append({"input_ids": sentence.ids, "labels": targets})
    return features


def predict(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: Sequence[Row],
    context: int,
    batch_size: int,
    decoding: "Decoding",
) -> list[dict[str, Any]]:
    """The likeliest valid BIO `tags` of each row (words beyond `context` are O), and the same as `roles` to read.

    Raises:
        UserError: a predicate is no place in its sentence.
    """
    import torch

    from ..features import Special, by_length, padded
    from ..heads import labels_of

    for row in rows:
        if not 0 <= row["predicate"] < len(row["tokens"]):
            raise UserError(f"{_misplaced(row)}; count the tokens from 0")
    names, pad = labels_of(model), Special.of(tokenizer).pad
    allowed = np.array([[_follows(before, after) for after in names] for before in names])
    encoded = list(_sentences(rows, tokenizer, context))
    predictions: list[dict[str, Any]] = [{} for _ in rows]
    model.eval()
    with torch.inference_mode():
        for indices in by_length([len(sentence.ids) for sentence in encoded], batch_size):
            batch = padded([{"input_ids": encoded[at].ids} for at in indices], pad)
            scores = model(**{name: value.to(model.device) for name, value in batch.items()}).logits.float().log_softmax(-1).cpu().numpy()
            for at, row in zip(indices, scores, strict=True):
                tags = ["O"] * len(rows[at]["tokens"])
                places = encoded[at].places
                scored = _pinned(row[list(places.values())], list(places).index(rows[at]["predicate"]), names)
                for word, best in zip(places, likeliest(scored, allowed, names), strict=True):
                    tags[word] = names[best]
                predictions[at] = {"tags": tags, "roles": readable(rows[at]["tokens"], tags)}
    return predictions


def _pinned(scores: np.ndarray, predicate: int, names: Sequence[str]) -> np.ndarray:
    """Scores (words, tags) by which the predicate, which is given, begins at its own word and nowhere else."""
    if (begins := f"B-{PREDICATE}") not in names:
        return scores
    column = names.index(begins)
    elsewhere, others = np.arange(len(scores)) != predicate, np.arange(len(names)) != column
    scores[elsewhere, column] = -np.inf
    scores[predicate, others] = -np.inf
    return scores


def likeliest(scores: np.ndarray, allowed: np.ndarray, names: Sequence[str]) -> list[int]:
    """The best path through scores (words, tags) over `allowed` (tag, next tag) steps: Viterbi (1967)."""
    best = scores[0] + np.where(allowed[names.index("O")], 0, -np.inf)
    pointers = []
    for score in scores[1:]:
        paths = best[:, None] + np.where(allowed, 0, -np.inf)
        pointers.append(paths.argmax(0))
        best = paths.max(0) + score
    path = [int(best.argmax())]
    for pointer in reversed(pointers):
        path.append(int(pointer[path[-1]]))
    return path[::-1]


def statistics(rows: Sequence[Row], predictions: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Numbers of right, predicted and true arguments (same role, same words), shape (rows, 3); the predicate is given and not counted."""
    counts = []
    for row, prediction in zip(rows, predictions, strict=True):
        true, told = set(spans(row["tags"])), set(spans(prediction["tags"]))
        counts.append([len(true & told), len(told), len(true)])
    return np.array(counts, dtype=np.float64).reshape(len(rows), 3)


def metrics(total: np.ndarray) -> dict[str, float]:
    """F1, precision and recall of arguments over all rows, 0 to 1 (CoNLL-2005: Carreras and Marquez)."""
    right, told, true = total
    return {
        "span_f1": float(2 * right / max(told + true, 1)),
        "precision": float(right / max(told, 1)),
        "recall": float(right / max(true, 1)),
    }


def baselines(train: Sequence[Row], rows: Sequence[Row], params: "Fitting") -> dict[str, list[dict[str, Any]]]:
    """All before the predicate as its subject, all after it but the last mark as its object: the roles commonest on either side."""
    sides: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for row in train:
        for role, start, _ in spans(row["tags"]):
            sides[start > row["predicate"]][role] += 1
    before, after = (min(side, key=lambda role: (-side[role], role), default=None) for side in sides)
    return {"subject and object by position": [{"tags": _by_position(row, before, after)} for row in rows]}


def spans(tags: Sequence[str]) -> list[Span]:
    """The arguments of BIO tags, without the predicate; an I- that continues nothing begins a span."""
    found: list[Span] = []
    for at, (before, tag) in enumerate(zip(["O", *tags], tags, strict=False)):
        if tag == "O":
            continue
        if _follows(before, tag) and tag.startswith("I-"):
            found[-1] = (*found[-1][:2], at + 1)
        else:
            found.append((tag[2:], at, at + 1))
    return [span for span in found if span[0] != PREDICATE]


def readable(tokens: Sequence[str], tags: Sequence[str]) -> str:
    """`[ARG0 The teacher] [ARG1 a book]`."""
    return " ".join(f"[{role} {' '.join(tokens[start:end])}]" for role, start, end in spans(tags))


@dataclass(frozen=True)
class _Sentence:
    ids: list[int]
    places: dict[int, int]  # word -> place of its first token in ids


def _sentences(rows: Sequence[Row], tokenizer: "PreTrainedTokenizerBase", context: int) -> Sequence[_Sentence]:
    """Each sentence as tokens, separators around the predicate; of a longer one the words nearest to the predicate that fit."""
    from ..features import Special, token_ids

    special = Special.of(tokenizer)
    spaced = [
        f" {token}" if at and token[:1].isalnum() and not unspaced(token) else token
        for row in rows
        for at, token in enumerate(row["tokens"])
    ]
    pieces = iter(token_ids(tokenizer, spaced))
    return [_sentence([next(pieces) for _ in row["tokens"]], row["predicate"], special, context) for row in rows]


def _sentence(words: list[list[int]], predicate: int, special: Any, context: int) -> _Sentence:
    room = context - 4 - len(words[predicate])
    first = last = predicate
    while True:
        sides = [at for at in (first - 1, last + 1) if 0 <= at < len(words) and len(words[at]) <= room]
        if not sides:
            break
        nearest = min(sides, key=lambda at: abs(at - predicate))
        first, last, room = min(first, nearest), max(last, nearest), room - len(words[nearest])
    ids, places = [special.first], {}
    for at in range(first, last + 1):
        mark = [special.separator] if at == predicate else []
        ids += mark
        places[at] = len(ids)
        ids += words[at] + mark
    return _Sentence([*ids, special.separator][:context], places)


def _misplaced(row: Row) -> str:
    return f"predicate: {row['predicate']} is no place in {len(row['tokens'])} tokens"


def _by_position(row: Row, before: str | None, after: str | None) -> list[str]:
    tokens, predicate = row["tokens"], row["predicate"]
    end = len(tokens) - (not tokens[-1][-1:].isalnum())
    tags = ["O"] * len(tokens)
    for role, start, stop in ((before, 0, predicate), (after, predicate + 1, end)):
        if role and start < stop:
            tags[start:stop] = [f"B-{role}"] + [f"I-{role}"] * (stop - start - 1)
    return tags


def _follows(before: str, after: str) -> bool:
    """Whether BIO allows `after` behind `before`."""
    return not after.startswith("I-") or (before[2:] == after[2:] and before != "O")
