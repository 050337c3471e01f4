"""Packed blocks of tokens in; a base as a Hugging Face checkpoint, and its history out.

An encoder learns to fill masks that are drawn anew at each step (`model/masking.py`), a decoder to predict each token from those before it.
"""

import json
import math
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Interval, Lt

from model.architectures import ENCODERS
from model.errors import UserError
from model.params import STRICT, Positive, Span, Training
from tasks import origin as origins
from tasks.blocks import Blocks, MappedBlocks, encoded_again, ends_of, frequencies, read
from tasks.openings import openings
from tasks.session import Session

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from model.losses import Batch

MAX_POSITIONS = 512  # room for applications with a longer context than the blocks


@dataclass(frozen=True, kw_only=True)
class Params(Training):
    """A base's shape and training; a checkpoint to go on from has its own shape and tokenizer."""

    __pydantic_config__ = STRICT

    max_steps: Annotated[int, Ge(0)]  # 0: a checkpoint is taken as it is
    architecture: Literal["bert", "roberta", "modernbert", "gpt2", "llama"]
    init_from: str | None
    hidden_size: Positive
    num_layers: Positive
    num_heads: Positive
    intermediate_size: Positive
    dropout: Annotated[float, Interval(ge=0, lt=1)]
    masking: Literal["token", "whole_word", "span"] | None  # this and what follows: None for a decoder
    mask_probability: Annotated[float, Gt(0), Lt(1)] | None
    span: Span | None


def run(tokens: Path, checkpoints: Path, out: Path, *, params: Params, session: Session) -> dict[str, float]:
    """Read the tokenizer and blocks under `tokens`, and the checkpoint to go on from, if any, under `checkpoints`.

    Write checkpoint, tokenizer and `history.jsonl` under `out`.
    """
    import torch
    from transformers import AutoTokenizer

    from model import backbone, hardware, losses, training
    from model.features import shuffled

    check(params, checkpoints)
    hardware.check(params)
    torch.set_num_threads(params.num_threads)
    ours = AutoTokenizer.from_pretrained(tokens)
    origin = None if params.init_from is None else origins.find(checkpoints, params.init_from, params.architecture)
    tokenizer = origin.tokenizer() if origin else ours
    train, validation = (read(tokens / f"{split}.arrow") for split in ("train", "validation"))
    model = origin.model(train.context, params.seed) if origin else _built(params, len(tokenizer), train.context)
    decoder = backbone.is_decoder(model.config)
    train, validation = (_for_model(blocks, ours, tokenizer, decoder, session.checkpoints) for blocks in (train, validation))
    examples = causal_examples if decoder else masked_examples(params, tokenizer)
    order = shuffled(len(train), params.batch_size, params.seed)
    bytes_per_label = _bytes_per_label(tokens, validation)

    def batch(index: int) -> "Batch":
        return examples(train.rows(order(index)), index)

    def sources(index: int) -> str:
        rows = train.rows(order(index))
        return openings(tokenizer, rows.tokens, rows.documents)

    def validation_batches() -> Iterator["Batch"]:
        for start in range(0, len(validation), params.batch_size):
            yield examples(validation.rows(range(start, min(start + params.batch_size, len(validation)))), -1 - start)

    def validate(model: "PreTrainedModel") -> dict[str, float]:
        values = losses.language_metrics(model, validation_batches())
        return values | ({"validation_bits_per_byte": values["validation_loss"] / math.log(2) / bytes_per_label} if decoder else {})

    if params.max_steps:
        history = training.train(
            model,
            batch,
            validate,
            loss=losses.language_loss,
            params=params,
            checkpoints=session.checkpoints,
            log=session.log,
            progress=session.progress,
            sources=sources,
        )
    else:
        history = [{"step": 0, **_as_it_is(model, validate)}]
    if not session.leads:
        return {}
    shutil.rmtree(out, ignore_errors=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "history.jsonl").write_text("".join(json.dumps(entry, sort_keys=True) + "\n" for entry in history), encoding="utf-8")
    best = min((entry for entry in history if "validation_loss" in entry), key=lambda entry: entry["validation_loss"])
    return {
        **({"first_train_loss": history[0]["loss"], "last_train_loss": history[-1]["loss"]} if params.max_steps else {}),
        "unigram_cross_entropy": unigram_cross_entropy(train, validation, tokenizer.all_special_ids),
        "best_step": best["step"],
        "num_steps": history[-1]["step"],
        "num_tokens": history[-1]["step"] * params.accumulation * params.batch_size * train.context,
        "num_parameters": model.num_parameters(),
        **{name: value for name, value in best.items() if name.startswith("validation_")},
    }


def check(params: Params, checkpoints: Path) -> None:
    """Whether there is something to begin from, before anything is computed; imports nothing heavy.

    Raises:
        UserError: `init_from` is no checkpoint for this base, or there is none and no step to make one; or an encoder lacks its masking.
    """
    if params.architecture in ENCODERS and None in (params.masking, params.mask_probability, params.span):
        needed = "masking, mask_probability and span"
        raise UserError(f"params.yaml: pretrain: {needed}: {params.architecture} needs all of them; profiles/nano.yaml has them")
    if params.init_from is not None:
        origins.find(checkpoints, params.init_from, params.architecture)
    elif not params.max_steps:
        raise UserError("params.yaml: pretrain: max_steps: 0 takes a checkpoint as it is, and init_from names none; name one, or train")


def causal_examples(blocks: Blocks, index: int) -> "Batch":
    """A batch in which every token but a document's first is to be predicted."""
    import torch

    from model.packing import causal_labels

    tokens, documents = torch.from_numpy(blocks.tokens), torch.from_numpy(blocks.documents)
    return {"input_ids": tokens, "documents": documents, "labels": causal_labels(tokens, documents)}


def masked_examples(params: Params, tokenizer: "PreTrainedTokenizerBase") -> Callable[[Blocks, int], "Batch"]:
    """Batches in which some of the tokens are to be predicted; negative indices are for validation."""
    import torch

    from model.masking import Masking

    assert params.masking is not None, params
    assert params.mask_probability is not None, params
    assert params.span is not None, params
    masking = Masking(tokenizer, params.masking, params.mask_probability, params.span, params.seed)

    def examples(blocks: Blocks, index: int) -> "Batch":
        inputs, labels = masking(blocks.tokens, index)
        return {
            "input_ids": torch.from_numpy(inputs),
            "documents": torch.from_numpy(blocks.documents),
            "labels": torch.from_numpy(labels),
        }

    return examples


def unigram_cross_entropy(train: MappedBlocks, validation: MappedBlocks, special: Collection[int]) -> float:
    """Nats per validation token if each is guessed by its frequency in training alone: what a model has to fall well below."""
    import numpy as np

    counts = frequencies(blocks.tokens for blocks in train.portions())
    held_out = frequencies((blocks.tokens for blocks in validation.portions()), len(counts))
    counts = np.pad(counts, (0, len(held_out) - len(counts)))
    kept = np.setdiff1d(np.arange(len(counts)), list(special))
    probabilities = (counts[kept] + 1) / (counts[kept] + 1).sum()
    return float(-(held_out[kept] * np.log(probabilities)).sum() / held_out[kept].sum())


def _built(params: Params, vocab_size: int, context: int) -> "PreTrainedModel":
    from model import backbone

    return backbone.build(
        params.architecture,
        vocab_size=vocab_size,
        context=max(MAX_POSITIONS, context),
        hidden_size=params.hidden_size,
        num_layers=params.num_layers,
        num_heads=params.num_heads,
        intermediate_size=params.intermediate_size,
        dropout=params.dropout,
        seed=params.seed,
    )


def _as_it_is(model: "PreTrainedModel", validate: Callable[["PreTrainedModel"], dict[str, float]]) -> dict[str, float]:
    import torch

    with torch.no_grad():
        return validate(model.eval())


def _for_model(
    blocks: MappedBlocks, ours: "PreTrainedTokenizerBase", tokenizer: "PreTrainedTokenizerBase", decoder: bool, folder: Path
) -> MappedBlocks:
    from model.features import Special

    ends = ends_of(tokenizer, decoder)
    if tokenizer.get_vocab() == ours.get_vocab():
        return replace(blocks, ends=ends)
    return encoded_again(blocks, ours, tokenizer, ends, Special.of(tokenizer).pad, folder)


def _bytes_per_label(tokens: Path, blocks: MappedBlocks) -> float:
    """Bytes of text for each token that a decoder predicts: all but the one that opens a document."""
    facts = json.loads((tokens / "corpus.json").read_text(encoding="utf-8"))["validation"]
    return facts["bytes"] / (sum(int((some.documents >= 0).sum()) for some in blocks.portions()) - facts["documents"])
