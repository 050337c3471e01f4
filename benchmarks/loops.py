"""The loops that `benchmarks/training.py` compares: each trains a model for a few steps and says how long the last of them took."""

import importlib.util
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from model import features, hardware, training
from model.losses import Batch, Loss
from model.params import Training
from model.vocabulary import PAD
from tasks import params

WARM = 3  # steps that are not measured: they compile
RATE = 5e-5
Collate = Callable[[Sequence[Mapping[str, Any]]], dict[str, Tensor]]


@dataclass(frozen=True)
class Case:
    """A model and its data, as Stemma's loop and as the others take them."""

    model: PreTrainedModel
    batch: Callable[[int], Batch]  # of Stemma's loop
    loss: Loss
    rows: Sequence[Mapping[str, Any]]  # of the others
    in_batch: int  # rows
    collate: Collate


@dataclass(frozen=True)
class Turn:
    """The measured steps of one loop."""

    tokens: int  # no padding
    seconds: float
    processor_seconds: float
    fastest: float  # processor seconds of the fastest step


class Stamps:
    """The clocks after each step."""

    def __init__(self) -> None:
        self.clock: list[float] = []
        self.processor: list[float] = []

    def __call__(self, *_: Any) -> None:
        self.clock.append(time.perf_counter())
        self.processor.append(time.process_time())

    def turn(self, tokens: int, steps: int) -> Turn:
        """Of the `steps` after the warm ones."""
        clock, processor = (times[WARM - 1 : WARM + steps] for times in (self.clock, self.processor))
        fastest = min(after - before for before, after in pairwise(processor))
        return Turn(tokens, clock[-1] - clock[0], processor[-1] - processor[0], fastest)


@cache
def precision() -> str:
    """The faster one of this machine."""
    return "bfloat16" if hardware.bfloat16_gain() > 1 else "float32"


def missing() -> str | None:
    """What the Trainer needs and is not installed."""
    return next((name for name in ("accelerate", "datasets") if importlib.util.find_spec(name) is None), None)


def numbers(case: Case, max_steps: int, **changes: Any) -> Training:
    """The shipped numbers of pretraining, for a training of so many steps that is as fast as this machine can make it."""
    shipped = params.section(params.read(Path("params.yaml")), "pretrain.decoder")
    section = {field.name: shipped[field.name] for field in fields(Training)} | {
        "max_steps": max_steps,
        "batch_size": case.in_batch,
        "learning_rate": RATE,
        "evaluate_every": max_steps,
        "precision": precision(),
        "compile": hardware.has_compiler(),
        "num_threads": torch.get_num_threads(),
    }
    return params.build(Training, section | changes, "training")


def stemma(case: Case, steps: int) -> Turn:
    """`model/training.py`; one step more is made, because the last one evaluates."""
    stamps = Stamps()
    total = WARM + steps + 1
    with tempfile.TemporaryDirectory() as folder:
        training.train(
            case.model,
            batch=case.batch,
            validate=lambda model: {"validation_loss": 0.0},
            loss=case.loss,
            params=numbers(case, total),
            checkpoints=Path(folder),
            log=lambda step, values: None,
            progress=stamps,
        )
    torch.use_deterministic_algorithms(False)  # the others do without
    return stamps.turn(sum(own_tokens(case.batch(index)) for index in range(WARM, WARM + steps)), steps)


def trainer(case: Case, steps: int) -> Turn:
    """The settings of Transformers' examples."""
    return _trainer(case, steps)


def trainer_best(case: Case, steps: int) -> Turn:
    """What of its flags makes the Trainer faster on this machine."""
    return _trainer(case, steps, bf16=precision() == "bfloat16", torch_compile=hardware.has_compiler())


def plain(case: Case, steps: int) -> Turn:
    """nanoGPT's loop, in float32 and compiled (github.com/karpathy/nanoGPT, train.py)."""
    stamps, counted = Stamps(), []
    case.model.train()
    model: Any = torch.compile(case.model) if hardware.has_compiler() else case.model
    optimizer = torch.optim.AdamW(case.model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    for step in range(WARM + steps):
        batch = case.collate([case.rows[(step * case.in_batch + row) % len(case.rows)] for row in range(case.in_batch)])
        counted.append(own_tokens(batch))
        model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(case.model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        stamps()
    return stamps.turn(sum(counted[WARM:]), steps)


def _trainer(case: Case, steps: int, **flags: Any) -> Turn:
    from transformers import Trainer, TrainerCallback, TrainingArguments

    stamps = Stamps()
    counted: list[int] = []

    class Stamping(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            stamps()

    def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        batch = case.collate(rows)
        counted.append(own_tokens(batch))
        return batch

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=WARM + steps,
            per_device_train_batch_size=case.in_batch,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            **flags,
        )
        Trainer(case.model, arguments, data_collator=collate, train_dataset=case.rows, callbacks=[Stamping()]).train()  # type: ignore[arg-type]
    return stamps.turn(sum(counted[WARM : WARM + steps]), steps)


def stacked(rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Rows of one length."""
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def dynamically_padded(rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Rows as long as the longest of them, as `DataCollatorWithPadding` has them."""
    longest = max(len(row["input_ids"]) for row in rows)
    batch = features.padded(rows, PAD)
    return {name: value[:, :longest] if value.ndim == 2 else value for name, value in batch.items()}


def own_tokens(batch: Batch) -> int:
    """Tokens that are no padding."""
    if "documents" in batch:
        return int((batch["documents"] >= 0).sum())
    return int(batch["attention_mask"].sum()) if "attention_mask" in batch else batch["input_ids"].numel()


LOOPS = {"stemma": stemma, "trainer": trainer, "trainer_best": trainer_best, "plain": plain}
