"""THE training loop, for pretraining and fine-tuning alike.

It holds no state that a checkpoint does not: a micro-batch is a function of its index, the learning rate of the step, and every step's
randomness of (seed, step). So a training that was killed goes on from its newest sealed checkpoint and ends with the same bytes.
"""

import hashlib
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from . import checkpoints as sealed
from .errors import UserError
from .losses import Batch, Loss, to_device
from .params import Training

History = list[dict[str, float]]


def train(
    model: PreTrainedModel,
    batch: Callable[[int], Batch],
    validate: Callable[[PreTrainedModel], Mapping[str, float]],
    loss: Loss,
    params: Training,
    checkpoints: Path,
    log: Callable[[int, Mapping[str, float]], None],
    progress: Callable[[int, int], None],
) -> History:
    """Train `model` in place, leave the weights of the lowest `validation_loss` in it (on the CPU, for saving), and return the history.

    `batch(i)` gives micro-batch i, a step takes `params.accumulation` of them. `validate` runs without gradients or dropout and returns
    `validation_loss` and whatever else is worth a curve. An entry of the history has `step`, `loss` (mean over the labels since the last
    entry), `learning_rate`, `gradient_norm` (before clipping), and at an evaluation what `validate` returned. `log` gets each new entry.

    Raises:
        UserError: a loss or gradient is not finite, or `params.compile` has no C++ compiler.
    """
    _settle(params)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.nn.Module.to(model, device)
    if params.compile:
        model.base_model.compile(dynamic=False)
    run = _Run(model, params, checkpoints, _identity(model, params, batch(0)))
    log_every = max(1, params.evaluate_every // 10)
    total, count = 0.0, 0
    while not run.finished:
        step = run.step + 1
        _seed(params.seed, step)
        micro_batches = [to_device(batch(run.step * params.accumulation + index), device) for index in range(params.accumulation)]
        step_total, step_count, norm = run.update(step, micro_batches, loss)
        total, count = total + step_total, count + step_count
        evaluating = step % params.evaluate_every == 0 or step == params.max_steps
        if step == 1 or step % log_every == 0 or evaluating:
            rate = learning_rate(step, params)
            entry = {"step": step, "loss": total / max(count, 1), "learning_rate": rate, "gradient_norm": norm}
            total, count = 0.0, 0
            if evaluating:
                entry |= run.evaluate(validate)
            run.history.append(entry)
            log(step, {name: value for name, value in entry.items() if name != "step"})
        if evaluating:
            run.judge(entry["validation_loss"])
            run.seal()
        progress(step, params.max_steps)
    run.restore_best()
    return run.history


def learning_rate(step: int, params: Training) -> float:
    """The rate of `step`, counted from 1: up linearly over the warm-up, then down to 0 just after the last step, or constant."""
    warmup = round(params.max_steps * params.warmup_share)
    if step <= warmup:
        return params.learning_rate * step / warmup
    done = (step - warmup - 1) / max(1, params.max_steps - warmup)
    match params.schedule:
        case "cosine":
            return params.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
        case "linear":
            return params.learning_rate * (1 - done)
        case _:
            return params.learning_rate


def shuffled(num_items: int, batch_size: int, seed: int) -> Callable[[int], list[int]]:
    """The items of micro-batch i: every epoch a new permutation drawn from (seed, epoch), one epoch following the other without a gap."""

    @lru_cache(maxsize=2)
    def permutation(epoch: int) -> np.ndarray:
        return np.random.default_rng((seed, epoch)).permutation(num_items)

    def items(index: int) -> list[int]:
        places = range(index * batch_size, (index + 1) * batch_size)
        return [int(permutation(place // num_items)[place % num_items]) for place in places]

    return items


class _Run:
    """What a training has come to: the content of a checkpoint."""

    def __init__(self, model: PreTrainedModel, params: Training, folder: Path, identity: str) -> None:
        self.model, self.params, self.folder, self.identity = model, params, folder, identity
        self.parameters = dict(model.named_parameters())
        self.optimizer = _optimizer(self.parameters, params)
        self.step, self.history = 0, History()
        self.best_loss, self.best, self.waited = math.inf, dict[str, Tensor](), 0
        found = sealed.newest(folder)
        if found is not None and found[1]["identity"] == identity:
            self._load(*found)

    @property
    def finished(self) -> bool:
        return self.step >= self.params.max_steps or self.waited >= self.params.patience

    def update(self, step: int, batches: Sequence[Batch], loss: Loss) -> tuple[float, int, float]:
        """One optimizer step; the sum of its losses, the number of its labels, and the norm of its gradient."""
        self.model.train()
        total, count = 0.0, 0
        for batch in batches:
            with _autocast(self.model, self.params):
                batch_total, batch_count = loss(self.model, batch)
            batch_total.backward()
            total, count = total + float(batch_total.detach()), count + int(batch_count)
        gradients = [parameter.grad for parameter in self.parameters.values() if parameter.grad is not None]
        torch._foreach_div_(gradients, float(max(count, 1)))
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.params.gradient_clip))
        if not (math.isfinite(total) and math.isfinite(norm)):
            raise UserError(
                f"training: the loss is {total / max(count, 1):.3g} and the gradient's norm {norm:.3g} at step {step}; lower learning_rate"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, self.params)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step = step
        return total, count, norm

    @torch.no_grad()
    def evaluate(self, validate: Callable[[PreTrainedModel], Mapping[str, float]]) -> Mapping[str, float]:
        self.model.eval()
        with _autocast(self.model, self.params):
            values = validate(self.model)
        if not math.isfinite(values["validation_loss"]):
            raise UserError(f"training: the validation loss is {values['validation_loss']} at step {self.step}; lower learning_rate")
        return values

    def judge(self, validation_loss: float) -> None:
        """Keep these weights if they are the best so far; count the evaluations since the best."""
        self.waited += 1
        if validation_loss < self.best_loss:
            self.best_loss, self.waited = validation_loss, 0
            self.best = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}

    def seal(self) -> None:
        tensors = {f"model/{name}": parameter.detach() for name, parameter in self.parameters.items()}
        tensors |= {f"best/{name}": weight for name, weight in self.best.items()}
        for name, parameter in self.parameters.items():
            tensors |= {f"optimizer/{key}/{name}": value for key, value in self.optimizer.state[parameter].items()}
        state = {"step": self.step, "history": self.history, "best_loss": self.best_loss, "waited": self.waited}
        sealed.seal(self.folder, self.step, tensors, state | {"identity": self.identity})

    @torch.no_grad()
    def restore_best(self) -> None:
        for name, parameter in self.parameters.items():
            parameter.copy_(self.best[name])
        self.model.eval().to("cpu")

    @torch.no_grad()
    def _load(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        self.step, self.history = state["step"], state["history"]
        self.best_loss, self.waited = state["best_loss"], state["waited"]
        for path, tensor in tensors.items():
            kind, _, name = path.partition("/")
            if kind == "optimizer":
                key, _, name = name.partition("/")
                parameter = self.parameters[name]
                self.optimizer.state[parameter][key] = tensor.clone().to(parameter.device)
            elif kind == "best":
                self.best[name] = tensor.clone().to(self.parameters[name].device)
            else:
                self.parameters[name].copy_(tensor)


def _identity(model: PreTrainedModel, params: Training, first: Batch) -> str:
    """A hash of what a training starts from; a checkpoint of another one is not gone on from."""
    digest = hashlib.sha256(repr(params).encode())
    for tensor in (*model.parameters(), *first.values()):
        digest.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _settle(params: Training) -> None:
    """Everything global that decides bits."""
    if params.compile and not shutil.which(_compiler()):
        raise UserError(f"params.yaml: training.compile: no C++ compiler ({_compiler()}) on PATH; install one, or set it to false")
    torch.set_num_threads(params.num_threads)
    if not torch.cuda.is_available():
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a debugging aid that costs time


def _compiler() -> str:
    from torch._inductor import config

    return config.cpp.cxx[1]


def _seed(seed: int, step: int) -> None:
    torch.manual_seed(int(np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0]))


def _autocast(model: PreTrainedModel, params: Training) -> torch.autocast:
    return torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=params.precision == "bfloat16")


def _optimizer(parameters: Mapping[str, Tensor], params: Training) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter, 2019); what has one dimension (norms, biases) does not decay."""
    decayed = [parameter for parameter in parameters.values() if parameter.ndim > 1]
    free = [parameter for parameter in parameters.values() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": params.weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=params.learning_rate, fused=True)
