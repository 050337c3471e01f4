"""THE training loop, for pretraining and fine-tuning alike.

It holds no state that a checkpoint does not: a micro-batch is a function of its index, the learning rate of the step, and every step's
randomness of (seed, step), and of the rank where several processes train together. So a training that was killed goes on from its newest
sealed checkpoint and ends with the same bytes, whenever the clock let that one be sealed.
"""

import hashlib
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from . import checkpoints as sealed
from . import hardware, memory, parallel
from .adaptation import rate_scales
from .averages import Average
from .compilation import compiled
from .errors import UserError
from .losses import Batch, Loss, to_device
from .params import Training
from .rhythm import Rhythm
from .schedules import learning_rate

History = list[dict[str, float]]

STATE = ("step", "history", "total", "count", "best_loss", "waited")  # of a run, besides its tensors


def train(
    model: PreTrainedModel,
    batch: Callable[[int], Batch],
    validate: Callable[[PreTrainedModel], Mapping[str, float]],
    loss: Loss,
    params: Training,
    checkpoints: Path,
    log: Callable[[int, Mapping[str, float]], None],
    progress: Callable[[int, int], None],
    sources: Callable[[int], str] = "micro-batch {}".format,
    rhythm: Rhythm | None = None,
) -> History:
    """Train `model` in place, leave the weights of the lowest `validation_loss` in it (on the CPU, for saving), and return the history.

    `batch(i)` gives micro-batch i, a step takes `params.accumulation` of them. `validate` runs without gradients or dropout and returns
    `validation_loss` and whatever else is worth a curve. An entry of the history has `step`, `loss` (mean over the labels since the last
    entry), `learning_rate`, `gradient_norm` (before clipping), and at an evaluation what `validate` returned. `log` gets each entry,
    those of an interrupted attempt first. `sources(i)` tells where micro-batch i comes from. `rhythm` says when to seal a checkpoint.

    Of N processes that have joined, each calls this; rank r takes micro-batches r, r + N, ... of a step, and rank 0 has the weights in the
    end, seals the checkpoints and decides when.

    Raises:
        UserError: a loss or gradient is not finite, or the machine lacks instructions, a compiler or memory.
    """
    hardware.check(params)
    parallel.check(params)
    _settle(params)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not params.sharded:
        torch.nn.Module.to(model, device)
    if params.gradient_checkpointing:
        model.activation_checkpointing_enable()
    rhythm = rhythm or Rhythm()
    log_every = max(1, params.evaluate_every // 10)
    with compiled(model) if params.compile and hardware.has_compiler() else nullcontext():
        with _autocast(model, params):
            need = memory.predict(model, batch(0), loss, averaged=bool(params.ema_decay), parts=parallel.size() if params.sharded else 1)
        left = memory.left(device, params.num_processes)
        memory.require(need, left)
        hardware.return_freed_memory()
        if need.with_freed_kept <= left:
            hardware.keep_freed_memory()
        run = _Run(model, params, checkpoints, _identity(model, params, batch(0)))
        meter = hardware.Meter(run.model, params.precision, params.num_processes)
        for entry in run.history:
            _show(log, entry)
        while not run.finished:
            step = run.step + 1
            _seed(params.seed, step)
            own = range(parallel.rank(), params.accumulation, params.num_processes)
            micro_batches = [batch(run.step * params.accumulation + index) for index in own]
            meter.add(micro_batches)
            micro_batches = [to_device(one, device) for one in micro_batches]
            norm = run.update(step, micro_batches, loss, sources)
            evaluating = step % params.evaluate_every == 0 or step == params.max_steps
            if step == 1 or step % log_every == 0 or evaluating:
                rate = learning_rate(step, params)
                entry = {"step": step, "loss": run.total / max(run.count, 1), "learning_rate": rate, "gradient_norm": norm}
                run.total, run.count = 0.0, 0
                speed = meter.read()
                if evaluating:
                    entry |= run.evaluate(validate)
                    run.judge(entry["validation_loss"])
                run.history.append(entry)
                _show(log, entry | speed)
                meter.pause()
            if parallel.from_first(rhythm.due(run.num_bytes)):
                with rhythm.sealing():
                    run.seal()
                meter.pause()
            progress(step, params.max_steps)
    run.restore_best()
    return run.history


class _Run:
    """What a training has come to: the content of a checkpoint."""

    def __init__(self, model: PreTrainedModel, params: Training, folder: Path, identity: str) -> None:
        self.params, self.folder, self.identity = params, folder, identity
        self.given, self.model = model, parallel.divided(model) if params.sharded else model
        self.work = parallel.wrapped(self.model, params)
        self.parameters = {name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad}
        self.optimizer = _optimizer(self.parameters, rate_scales(self.model, params.layer_decay), params)
        self.average = Average(self.parameters, params.ema_decay) if params.ema_decay else None
        self.step, self.history = 0, History()
        self.total, self.count = 0.0, 0  # of the losses and labels since the last entry of the history
        self.best_loss, self.best, self.waited = math.inf, dict[str, Tensor](), 0
        self.num_bytes = sum(parameter.nbytes for parameter in self.parameters.values()) * (5 if self.average else 4)  # of a checkpoint
        parallel.in_turn(self._resume)
        parallel.agree((identity, self.step))

    @property
    def finished(self) -> bool:
        return self.step >= self.params.max_steps or self.waited >= self.params.patience

    def update(self, step: int, batches: Sequence[Batch], loss: Loss, sources: Callable[[int], str]) -> float:
        """One optimizer step; the norm of its gradient, per label of the `batches` of all processes."""
        self.work.train()
        totals, count = list[float](), 0
        for place, batch in enumerate(batches, 1):
            with parallel.accumulating(self.work, last=place == len(batches)):
                with _autocast(self.model, self.params):
                    batch_total, batch_count = self.work(loss, batch)
                batch_total.backward()
            totals.append(float(batch_total.detach()))
            count += int(batch_count)
        totals, count = parallel.of_all(totals, count)
        gradients = [parameter.grad for parameter in self.parameters.values() if parameter.grad is not None]
        torch._foreach_div_(gradients, max(count, 1) / parallel.size())
        norm = float(parallel.full(torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.params.gradient_clip)))
        if not (math.isfinite(sum(totals)) and math.isfinite(norm)):
            broken = [place for place, total in enumerate(totals) if not math.isfinite(total)] or range(len(totals))
            named = ", ".join(sources((step - 1) * self.params.accumulation + place) for place in broken)
            what = f"the loss is {sum(totals) / max(count, 1):.3g} and the gradient's norm {norm:.3g} at step {step}"
            raise UserError(f"training: {what}, on {named}; {self._remedy()}")
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, self.params) * group["scale"]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            self.average.update(step)
        self.step, self.total, self.count = step, self.total + sum(totals), self.count + count
        return norm

    @torch.no_grad()
    def evaluate(self, validate: Callable[[PreTrainedModel], Mapping[str, float]]) -> Mapping[str, float]:
        self.work.eval()
        with self.average.applied() if self.average else nullcontext(), _autocast(self.model, self.params):
            values = parallel.from_first(self.work(validate))
        if not math.isfinite(values["validation_loss"]):
            raise UserError(f"training: the validation loss is {values['validation_loss']} at step {self.step}; {self._remedy()}")
        return values

    def _remedy(self) -> str:
        last = sealed.last(self.folder)
        return f"lower learning_rate (the last good checkpoint is {last})" if last else "lower learning_rate (no checkpoint was sealed yet)"

    def judge(self, validation_loss: float) -> None:
        """Keep these weights if they are the best so far; count the evaluations since the best."""
        self.waited += 1
        if validation_loss < self.best_loss:
            self.best_loss, self.waited = validation_loss, 0
            weights = self.average.weights if self.average else self.parameters
            self.best = {name: weight.detach().clone() for name, weight in weights.items()}

    def seal(self) -> None:
        tensors = {f"model/{name}": parameter.detach() for name, parameter in self.parameters.items()}
        tensors |= {f"best/{name}": weight for name, weight in self.best.items()}
        tensors |= {f"average/{name}": weight for name, weight in (self.average.weights if self.average else {}).items()}
        for name, parameter in self.parameters.items():
            tensors |= {f"optimizer/{key}/{name}": value for key, value in self.optimizer.state[parameter].items()}
        tensors = parallel.whole(tensors)
        if parallel.rank() == 0:
            sealed.seal(self.folder, self.step, tensors, {name: getattr(self, name) for name in STATE} | {"identity": self.identity})

    @torch.no_grad()
    def restore_best(self) -> None:
        for name, parameter in self.parameters.items():
            parameter.copy_(self.best[name])
        if self.given is not self.model:
            parallel.together(self.model, self.given)
        self.given.eval().to("cpu")

    def _resume(self) -> None:
        found = sealed.newest(self.folder)
        if found and found[1]["identity"] == self.identity:
            self._load(*found)
        elif found:
            shutil.rmtree(self.folder)

    @torch.no_grad()
    def _load(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        for name in STATE:
            setattr(self, name, state[name])
        for path, tensor in tensors.items():
            kind, _, name = path.partition("/")
            if kind == "optimizer":
                key, _, name = name.partition("/")
            parameter = self.parameters[name]
            tensor = parallel.part(tensor, parameter)
            if kind == "optimizer":
                self.optimizer.state[parameter][key] = tensor.clone()
            elif kind == "best":
                self.best[name] = tensor.clone()
            elif kind == "average" and self.average:
                self.average.weights[name].copy_(tensor)
            else:
                parameter.copy_(tensor)


def _show(log: Callable[[int, Mapping[str, float]], None], entry: Mapping[str, float]) -> None:
    log(int(entry["step"]), {name: value for name, value in entry.items() if name != "step"})


def _identity(model: PreTrainedModel, params: Training, first: Batch) -> str:
    """A hash of what a training starts from; a checkpoint of another one is not gone on from."""
    digest = hashlib.sha256(repr(params).encode())
    for tensor in (*model.parameters(), *first.values()):
        digest.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _settle(params: Training) -> None:
    """Everything global that decides bits."""
    torch.set_num_threads(params.num_threads)
    if not torch.cuda.is_available():
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a debugging aid that costs time


def _seed(seed: int, step: int) -> None:
    own = (parallel.rank(),) if parallel.size() > 1 else ()
    torch.manual_seed(int(np.random.SeedSequence((seed, step, *own)).generate_state(1, np.uint64)[0]))


def _autocast(model: PreTrainedModel, params: Training) -> torch.autocast:
    return torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=params.precision == "bfloat16")


def _optimizer(parameters: Mapping[str, Tensor], scales: Mapping[str, float], params: Training) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter, 2019); what has one dimension (norms, biases) does not decay; `scales` are of the learning rate."""
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in parameters.items():
        decay = params.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((scales[name], decay), []).append(parameter)
    described = [{"params": members, "weight_decay": decay, "scale": scale} for (scale, decay), members in groups.items()]
    return torch.optim.AdamW(described, lr=params.learning_rate, fused=True)
