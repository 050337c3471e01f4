"""A training of a dozen steps that takes a moment, and what interrupts it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from model.backbone import build
from model.losses import Batch, Loss, language_loss, mean_loss
from model.params import Training
from model.rhythm import Rhythm
from model.training import History, train

PARAMS = Training(
    max_steps=12,
    batch_size=3,
    accumulation=2,
    learning_rate=0.01,
    schedule="cosine",
    warmup_share=0.25,
    decay_share=0.2,
    weight_decay=0.1,
    layer_decay=1.0,
    gradient_clip=1.0,
    gradient_checkpointing=False,
    ema_decay=None,
    evaluate_every=3,
    patience=9,
    precision="float32",
    compile=False,
    slower_allowed=False,
    seed=5,
    num_threads=1,
    num_processes=1,
    sharded=False,
)


class Killed(BaseException):
    """Stands for whatever ends a process."""


class Every(Rhythm):
    """A checkpoint each so many steps, whatever the clock says."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps, self.asked = steps, 0

    def due(self, num_bytes: int) -> bool:
        self.asked += 1
        return self.asked % self.steps == 0


def base(dropout: float = 0.1) -> PreTrainedModel:
    sizes = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 24}
    return build("llama", vocab_size=32, context=16, dropout=dropout, seed=1, **sizes)


def batch(index: int, rows: int = 3) -> Batch:
    first = np.random.default_rng(index).integers(0, 26, (rows, 1))
    tokens = torch.from_numpy((first + 3 * np.arange(12)) % 26 + 6)
    return {"input_ids": tokens, "labels": tokens.masked_fill(tokens % 5 == index % 5, -100)}  # as many labels as it happens


def packed(index: int) -> Batch:
    return {**batch(index), "documents": torch.tensor([[0] * 5 + [1] * 7] * 3)}


def validate(model: PreTrainedModel) -> dict[str, float]:
    return {"validation_loss": mean_loss(model, [batch(-1 % 1000)], language_loss)}


def trained(
    folder: Path,
    params: Training = PARAMS,
    model: PreTrainedModel | None = None,
    batch: Callable[[int], Batch] = batch,
    validate: Callable[[PreTrainedModel], dict[str, float]] = validate,
    log: Callable[[int, object], None] = lambda step, values: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    sealed_every: int = 1,
    sources: Callable[[int], str] = "micro-batch {}".format,
    loss: Loss = language_loss,
) -> tuple[dict[str, Tensor], History]:
    model = model or base()
    history = train(
        model,
        batch=batch,
        validate=validate,
        loss=loss,
        params=params,
        checkpoints=folder,
        log=log,
        progress=progress,
        sources=sources,
        rhythm=Every(sealed_every),
    )
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}, history


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)
