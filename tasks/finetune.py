"""A base and an application's train and validation splits in; a checkpoint with the application's head, best on validation, out."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Interval, MultipleOf

from model import applications
from model.applications import Row
from model.errors import UserError
from model.params import STRICT, Lora, Positive, Training
from tasks import augmenting, examples
from tasks.augmenting import Augmentation, Sources
from tasks.openings import openings
from tasks.session import Session

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from model.features import Feature
    from model.losses import Batch


@dataclass(frozen=True, kw_only=True)
class Params(Training, Augmentation):
    """The numbers of one fine-tuning."""

    __pydantic_config__ = STRICT

    base: str  # of pretrain; dvc.yaml makes it the first path
    context: Annotated[int, Ge(32), MultipleOf(16)]  # tokens of the longest example
    dropout: Annotated[float, Interval(ge=0, lt=1)]
    label_smoothing: Annotated[float, Interval(ge=0, lt=1)]  # while training; the validation loss has none
    r_drop: Annotated[float, Ge(0)]  # what two passes with dropout pay for disagreeing, while training; 0: one pass
    lora: Lora | None
    frozen_layers: Annotated[int, Ge(0)]  # the embeddings and so many layers stay as they are
    chat: bool  # prompts of generative applications go through the base's chat template
    max_validation_examples: Positive  # by the hash of the example
    packed: bool  # several examples in a block of `context` tokens; batch_size counts blocks then

    def __post_init__(self) -> None:
        """Raise ValueError if two passes could not differ, or the schedule is longer than the run."""
        super().__post_init__()
        if self.r_drop and not self.dropout and not (self.lora and self.lora.dropout):
            raise ValueError("r_drop compares two passes with dropout, and dropout is 0; raise dropout, or set r_drop to 0")


def run(base: Path, splits: Path, reads: Path, out: Path, *, params: Params, session: Session, variant: str) -> dict[str, float]:
    """Fine-tune `base` on `splits/{train,validation}.parquet` for application `variant`; write the checkpoint and its history to `out`.

    Augmentation adds to the train split alone; `reads` is for it.
    """
    import torch
    from transformers import AutoTokenizer

    from model import adaptation, chat, hardware
    from model.features import Special, blocks, by_length, in_batches, padded, shuffled
    from model.losses import head_logits, head_loss, labelled_logits, language_loss, mean_loss
    from model.r_drop import r_drop
    from model.training import train

    hardware.check(params)
    application = applications.load(variant)
    check(params, variant)
    rows = examples.read(splits / "train.parquet", application.SCHEMA)
    held_out = examples.by_hash(examples.read(splits / "validation.parquet", application.SCHEMA), params.max_validation_examples)
    torch.set_num_threads(params.num_threads)
    torch.manual_seed(params.seed)  # the head's first weights
    labels = application.labels(rows)
    model = application.open_model(base, labels, params.dropout)
    _check_context(params.context, model, variant)
    if params.lora:
        adaptation.add_adapters(model, params.base, params.lora, _fresh(model, base))
    adaptation.freeze(model, params.frozen_layers)
    tokenizer = AutoTokenizer.from_pretrained(base)
    if model.can_generate():
        chat.settle(tokenizer, params.chat)
    rows += augmenting.added(rows, application, params, Sources(base, reads, params.context, params.batch_size, params.seed))
    pad = Special.of(tokenizer).pad

    def encode(split: str, rows: Sequence[Row]) -> "Sequence[Feature]":
        features = application.encode(rows, tokenizer, params.context, labels)
        if not features:
            raise UserError(f"{splits / split}.parquet: no row fits {params.context} tokens; raise finetune.{variant}.context")
        return blocks(features, params.context, pad) if params.packed else features

    train_features, validation_features = encode("train", rows), encode("validation", held_out)
    if params.packed:
        order = shuffled(len(train_features), params.batch_size, params.seed)
    else:
        order = in_batches(_lengths(train_features), params.batch_size, params.seed)
    validation = [
        padded([validation_features[at] for at in indices], pad) for indices in by_length(_lengths(validation_features), params.batch_size)
    ]

    def batch(index: int) -> "Batch":
        return padded([train_features[at] for at in order(index)], pad)

    def sources(index: int) -> str:
        made = batch(index)
        documents = made["documents"] if "documents" in made else made["attention_mask"] - 1
        return openings(tokenizer, made["input_ids"].numpy(), documents.numpy())

    logits, loss = (labelled_logits, language_loss) if model.can_generate() else (head_logits, head_loss)
    smooth = partial(loss, label_smoothing=params.label_smoothing)
    history = train(
        model,
        batch=batch,
        validate=lambda model: {"validation_loss": mean_loss(model, validation, loss)},
        loss=r_drop(logits, params.r_drop, params.label_smoothing) if params.r_drop else smooth,
        params=params,
        checkpoints=session.checkpoints,
        log=session.log,
        progress=session.progress,
        sources=sources,
    )
    if not session.leads:
        return {}
    if params.lora:
        adaptation.merge_adapters(model)
    shutil.rmtree(out, ignore_errors=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    facts = {"application": variant, "context": params.context, "labels": application.labels(rows)}
    (out / "application.json").write_text(json.dumps(facts, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "history.jsonl").write_text("".join(json.dumps(entry, sort_keys=True) + "\n" for entry in history), encoding="utf-8")
    best = min((entry for entry in history if "validation_loss" in entry), key=lambda entry: entry["validation_loss"])
    return {
        "first_train_loss": history[0]["loss"],
        "last_train_loss": history[-1]["loss"],
        "validation_loss": best["validation_loss"],
        "best_step": best["step"],
        "num_steps": history[-1]["step"],
        "num_examples": len(rows),
        "num_validation_examples": len(held_out),
        "num_parameters": model.num_parameters(),
    }


def check(params: Params, variant: str) -> None:
    """Whether augmentation suits application `variant`, before anything is computed; imports nothing heavy.

    Raises:
        UserError: there is no such application, or a method is not for its rows.
    """
    if params.augment:
        augmenting.check(params, applications.load(variant).SCHEMA.names, variant)


def _check_context(context: int, model: "PreTrainedModel", variant: str) -> None:
    positions = model.config.max_position_embeddings
    if context > positions:
        raise UserError(f"params.yaml: finetune.{variant}.context: {context} tokens, and the base has {positions} positions; lower it")


def _fresh(model: "PreTrainedModel", base: Path) -> set[str]:
    """The parameters that the base's checkpoint lacks: a new head."""
    from safetensors import safe_open

    kept: set[str] = set()
    for file in base.glob("*.safetensors"):
        with safe_open(file, framework="numpy") as opened:
            kept |= set(opened.keys())
    return {name for name, _ in model.named_parameters() if name not in kept}


def _lengths(features: "Sequence[Feature]") -> list[int]:
    return [len(feature["input_ids"]) for feature in features]
