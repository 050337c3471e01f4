"""Packed blocks of tokens in; a base as a Hugging Face checkpoint, and its history out.

An encoder learns to fill masks that are drawn anew at each step (Devlin et al., 2019; Liu et al., 2019), a decoder to predict each token
from those before it.
"""

import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Gt, Interval, Lt

from model.errors import UserError
from model.params import STRICT, Positive, Training
from model.vocabulary import CLS, END, IGNORED, MASK, SEP, SPECIAL_TOKENS
from tasks.session import Session

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel

    from model.losses import Batch

MAX_POSITIONS = 512  # room for applications with a longer context than the blocks
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True, kw_only=True)
class Params(Training):
    """A base's shape and training; the shape is not used when `init_from` names a checkpoint to go on from."""

    __pydantic_config__ = STRICT

    architecture: Literal["bert", "roberta", "modernbert", "gpt2", "llama"]
    init_from: str | None
    hidden_size: Positive
    num_layers: Positive
    num_heads: Positive
    intermediate_size: Positive
    dropout: Annotated[float, Interval(ge=0, lt=1)]
    mask_probability: Annotated[float, Gt(0), Lt(1)] | None  # None for a decoder


@dataclass(frozen=True)
class Blocks:
    """Packed blocks: token ids and document indices, each (blocks, context)."""

    tokens: "np.ndarray"
    documents: "np.ndarray"

    def __len__(self) -> int:
        return len(self.tokens)

    def rows(self, items: "list[int] | slice") -> "Blocks":
        return Blocks(self.tokens[items], self.documents[items])


def run(tokens: Path, out: Path, *, params: Params, session: Session) -> dict[str, float]:
    """Read the tokenizer and blocks under `tokens`; write checkpoint, tokenizer and `history.jsonl` under `out`."""
    from model import backbone, losses, training

    train_blocks, validation_blocks = (read_blocks(tokens / f"{split}.parquet") for split in ("train", "validation"))
    model = _open(tokens, params, context=train_blocks.tokens.shape[1])
    decoder = backbone.is_decoder(model.config)
    if not decoder and params.mask_probability is None:
        raise UserError(f"params.yaml: pretrain: mask_probability: {params.architecture} needs one; 0.15 is usual")
    examples = causal_examples if decoder else masked_examples(params.mask_probability, model.config.vocab_size, params.seed)
    order = training.shuffled(len(train_blocks), params.batch_size, params.seed)
    bytes_per_label = _bytes_per_label(tokens, "validation")

    def batch(index: int) -> "Batch":
        return examples(train_blocks.rows(order(index)), index)

    def validate(model: "PreTrainedModel") -> dict[str, float]:
        values = losses.language_metrics(model, validation_batches())
        return values | ({"validation_bits_per_byte": values["validation_loss"] / math.log(2) / bytes_per_label} if decoder else {})

    def validation_batches() -> Iterator["Batch"]:
        for start in range(0, len(validation_blocks), params.batch_size):
            yield examples(validation_blocks.rows(slice(start, start + params.batch_size)), -1 - start)

    history = training.train(model, batch, validate, losses.language_loss, params, session.checkpoints, session.log, session.progress)
    _save(model, tokens, history, out)
    best = min((entry for entry in history if "validation_loss" in entry), key=lambda entry: entry["validation_loss"])
    return {
        "first_train_loss": history[0]["loss"],
        "last_train_loss": history[-1]["loss"],
        "unigram_cross_entropy": unigram_cross_entropy(train_blocks, validation_blocks, model.config.vocab_size),
        "best_step": best["step"],
        "num_steps": history[-1]["step"],
        "num_tokens": history[-1]["step"] * params.accumulation * params.batch_size * train_blocks.tokens.shape[1],
        "num_parameters": model.num_parameters(),
        **{name: value for name, value in best.items() if name.startswith("validation_")},
    }


def causal_examples(blocks: Blocks, index: int) -> "Batch":
    """A batch in which every token but a document's first is to be predicted."""
    import torch

    from model.packing import causal_labels

    tokens, documents = torch.from_numpy(blocks.tokens), torch.from_numpy(blocks.documents)
    return {"input_ids": tokens, "documents": documents, "labels": causal_labels(tokens, documents)}


def masked_examples(probability: float, vocab_size: int, seed: int) -> Callable[[Blocks, int], "Batch"]:
    """Batches in which a `probability` of the tokens is to be predicted: 80 % of these are masked, 10 % replaced, 10 % left.

    The draw depends on (seed, index) alone; negative indices are for validation. Documents get an encoder's ends, `[CLS]` and `[SEP]`.
    """
    import numpy as np
    import torch

    from model.packing import starts

    def examples(blocks: Blocks, index: int) -> "Batch":
        random = np.random.default_rng((seed, int(index < 0), abs(index)))
        documents = torch.from_numpy(blocks.documents)
        ends = blocks.tokens == END
        tokens = np.where(ends, np.where(starts(documents).numpy(), CLS, SEP), blocks.tokens)
        chosen = (random.random(tokens.shape) < probability) & (tokens >= len(SPECIAL_TOKENS))
        fate = random.random(tokens.shape)
        replaced = np.where(fate < 0.8, MASK, np.where(fate < 0.9, random.integers(len(SPECIAL_TOKENS), vocab_size, tokens.shape), tokens))
        return {
            "input_ids": torch.from_numpy(np.where(chosen, replaced, tokens)),
            "documents": documents,
            "labels": torch.from_numpy(np.where(chosen, tokens, IGNORED)),
        }

    return examples


def unigram_cross_entropy(train: Blocks, validation: Blocks, vocab_size: int) -> float:
    """Nats per validation token if each is guessed by its frequency in training alone: what a model has to fall well below."""
    import numpy as np

    counts, held_out = (
        np.bincount(blocks.tokens[blocks.documents >= 0], minlength=vocab_size)[len(SPECIAL_TOKENS) :] for blocks in (train, validation)
    )
    probabilities = (counts + 1) / (counts + 1).sum()
    return float(-(held_out * np.log(probabilities)).sum() / held_out.sum())


def read_blocks(file: Path) -> Blocks:
    """The blocks of a Parquet file that the tokenizer stage wrote."""
    import numpy as np
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    columns = (table[name].combine_chunks() for name in ("input_ids", "documents"))
    return Blocks(*(np.asarray(column.flatten(), dtype=np.int64).reshape(len(table), -1) for column in columns))


def _open(tokens: Path, params: Params, context: int) -> "PreTrainedModel":
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

    from model import backbone

    vocabulary = _vocabulary(tokens)
    if params.init_from is None:
        return backbone.build(
            params.architecture,
            vocab_size=len(vocabulary),
            context=max(MAX_POSITIONS, context),
            hidden_size=params.hidden_size,
            num_layers=params.num_layers,
            num_heads=params.num_heads,
            intermediate_size=params.intermediate_size,
            dropout=params.dropout,
            seed=params.seed,
        )
    folder = Path(params.init_from)
    if not (folder / "config.json").exists():
        raise UserError(f"params.yaml: pretrain: init_from: {folder} is no Hugging Face checkpoint (no config.json); name one, or null")
    if _vocabulary(folder) != vocabulary:
        raise UserError(
            f"params.yaml: pretrain: init_from: the vocabulary of {folder} is not the tokenizer's; use a base made with it, or null"
        )
    auto = AutoModelForCausalLM if backbone.is_decoder(AutoConfig.from_pretrained(folder)) else AutoModelForMaskedLM
    return auto.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa", local_files_only=True)


def _vocabulary(folder: Path) -> Mapping[str, int]:
    from tokenizers import Tokenizer

    file = folder / "tokenizer.json"
    if not file.exists():
        raise UserError(f"{file}: no such file; a base needs its tokenizer beside it")
    return Tokenizer.from_file(str(file)).get_vocab(with_added_tokens=True)


def _bytes_per_label(tokens: Path, split: str) -> float:
    """Bytes of text for each token that a decoder predicts: all but the one that opens a document."""
    facts = json.loads((tokens / "corpus.json").read_text(encoding="utf-8"))[split]
    return facts["bytes"] / (facts["tokens"] - facts["documents"])


def _save(model: "PreTrainedModel", tokens: Path, history: list[dict[str, float]], out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    model.save_pretrained(out)
    for name in TOKENIZER_FILES:
        shutil.copyfile(tokens / name, out / name)
    lines = (json.dumps(entry, sort_keys=True) + "\n" for entry in history)
    (out / "history.jsonl").write_text("".join(lines), encoding="utf-8")
