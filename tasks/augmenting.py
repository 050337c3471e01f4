"""Rows that augmentation adds to a train split: which methods, on which rows, with what they read."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Gt, Le

from model import augmentation
from model.applications import Application, Row
from model.errors import UserError
from model.params import STRICT, Embeddings, Positive
from tasks import examples

if TYPE_CHECKING:
    from model.augmentation.text import Changed, Text

CORPUS, TRANSLATION = "prepare/corpus", "finetune/translation"
FROM_CORPUS = ("synonym", "random_insertion")


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is added to a train split."""

    __pydantic_config__ = STRICT

    augment: tuple[
        Literal["random_swap", "random_deletion", "random_insertion", "synonym", "masked_lm", "back_translation", "reverse"], ...
    ]  # a name that stands twice adds twice
    augment_share: Annotated[float, Gt(0), Le(1)]  # of a text's words
    augment_rows: Positive  # that a method adds at most
    augment_choices: Positive  # words that one is drawn from
    embeddings: Embeddings
    reads: str  # below build/; dvc.yaml makes it a path


@dataclass(frozen=True)
class Sources:
    """What the methods may read."""

    base: Path
    reads: Path
    context: int
    batch_size: int
    seed: int


def check(numbers: Augmentation, columns: Sequence[str], name: str) -> None:
    """Whether every method suits the rows and has what it reads, before anything is computed.

    Raises:
        UserError: one does not; the message names it.
    """
    if numbers.reads == f"finetune/{name}":
        raise UserError(f"params.yaml: finetune.{name}.reads: {numbers.reads} is the model itself; set it to {CORPUS}")
    for method in numbers.augment:
        if reason := augmentation.refused(method, columns):
            raise UserError(f"params.yaml: finetune.{name}.augment: {method}: {reason}; take it out")
        wanted = CORPUS if method in FROM_CORPUS else TRANSLATION if method == "back_translation" else numbers.reads
        if numbers.reads != wanted:
            raise UserError(f"params.yaml: finetune.{name}.augment: {method} reads {wanted}; set finetune.{name}.reads to it")


def added(rows: Sequence[Row], application: Application, numbers: Augmentation, sources: Sources) -> list[Row]:
    """New rows by each method in turn, of the rows with the lowest hashes; a row that a method leaves as it was gives none.

    What becomes of a row depends on the row, the seed and the method's place in the list, and on no other row.

    Raises:
        UserError: a model that a method reads cannot do what it needs.
    """
    found: list[Row] = []
    chosen = examples.by_hash(rows, numbers.augment_rows) if numbers.augment else []
    for place, method in enumerate(numbers.augment):
        randoms = [Random(f"{sources.seed} {place} {examples.canonical(row)}") for row in chosen]
        made = _made(method, chosen, randoms, application.INPUTS[0], numbers, sources)
        found += [new for old, new in zip(chosen, made, strict=True) if new != old and application.refuse(new) is None]
    return found


def _made(
    method: str, rows: Sequence[Row], randoms: Sequence[Random], column: str, numbers: Augmentation, sources: Sources
) -> Sequence[Row]:
    """What `method` makes of each row."""
    from model.augmentation import random_deletion, random_insertion, random_swap, reverse, synonym
    from model.augmentation.text import closed, opened

    share = numbers.augment_share
    match method:
        case "reverse":
            return [reverse.change(row) for row in rows]
        case "back_translation":
            return _translated(rows, column, sources)
    texts = [opened(row, column) for row in rows]
    match method:
        case "random_swap":
            changed = [random_swap.change(text, share, random) for text, random in zip(texts, randoms, strict=True)]
        case "random_deletion":
            changed = [random_deletion.change(text, share, random) for text, random in zip(texts, randoms, strict=True)]
        case "masked_lm":
            changed = _substituted(texts, randoms, numbers, sources)
        case _:
            near = _near(numbers, sources)
            change: Callable[..., Changed] = synonym.change if method == "synonym" else random_insertion.change
            changed = [change(text, share, random, near) for text, random in zip(texts, randoms, strict=True)]
    return [closed(row, column, text, pieces) for row, text, pieces in zip(rows, texts, changed, strict=True)]


def _near(numbers: Augmentation, sources: Sources) -> Callable[[str], Sequence[str]]:
    import pyarrow.parquet as pq

    from model.augmentation.embeddings import neighbours

    texts = [{"text": text} for text in pq.read_table(sources.reads / "train.parquet", columns=["text"])["text"].to_pylist()]
    ordered = (row["text"] for row in examples.by_hash(texts, len(texts)))
    return neighbours(ordered, numbers.embeddings, numbers.augment_choices, sources.seed)


def _substituted(texts: "Sequence[Text]", randoms: Sequence[Random], numbers: Augmentation, sources: Sources) -> "list[Changed]":
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    from model.augmentation import masked_lm
    from model.backbone import is_decoder
    from model.heads import open_head

    encoder = next((folder for folder in (sources.base, sources.reads) if _is_model(folder) and not is_decoder(_config(folder))), None)
    if encoder is None:
        raise UserError("params.yaml: finetune: augment: masked_lm needs an encoder; set reads to pretrain/encoder, or base to encoder")
    model, tokenizer = open_head(AutoModelForMaskedLM, encoder, 0.0), AutoTokenizer.from_pretrained(encoder)
    return masked_lm.changes(
        texts, randoms, model, tokenizer, numbers.augment_share, numbers.augment_choices, sources.context, sources.batch_size
    )


def _translated(rows: Sequence[Row], column: str, sources: Sources) -> list[Row]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from model.augmentation import back_translation
    from model.heads import open_head

    facts: dict[str, Any] = json.loads((sources.reads / "application.json").read_text(encoding="utf-8"))
    ways = back_translation.pivots(facts["labels"])
    known = [row for row in rows if back_translation.language(row[column]) in ways]
    if not known:
        raise UserError(
            f"{sources.reads}: knows {', '.join(facts['labels'])} and no way back of any text; add reverse to finetune.translation.augment"
        )
    model, tokenizer = open_head(AutoModelForCausalLM, sources.reads, 0.0), AutoTokenizer.from_pretrained(sources.reads)
    texts = [row[column] for row in known]
    by_way_of = [ways[back_translation.language(text)] for text in texts]
    told = iter(back_translation.translated(texts, by_way_of, model, tokenizer, facts["context"], sources.batch_size))
    return [{**row, column: next(told)} if back_translation.language(row[column]) in ways else row for row in rows]


def _is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def _config(folder: Path) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder)
