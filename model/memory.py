"""How much memory a training will take at its peak, said before it takes it."""

from dataclasses import astuple, dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from . import linear_loss
from .errors import UserError
from .losses import Batch, Loss

FLOAT = 4  # bytes
LOGITS_HELD = 3 * FLOAT * linear_loss.HELD  # bytes: the logits themselves, their softmax and their gradient
SCATTERED = 0.2  # of the activations: what is lost between them where freed memory is kept


@dataclass(frozen=True)
class Need:
    """Bytes beside what the process holds already, the weights among that."""

    states: int  # gradients, AdamW's two moments, the copy of the best weights, and their average where there is one
    activations: int  # of one micro-batch, kept for the backward pass
    passing: int  # of the largest operation, while it runs

    @property
    def total(self) -> int:
        return self.states + self.activations + self.passing

    @property
    def with_freed_kept(self) -> int:
        """The need where what a tensor leaves stays with the process for the next one (`hardware.keep_freed_memory`)."""
        return self.total + int(SCATTERED * self.activations)


@dataclass(frozen=True)
class _Kept:
    """Bytes of what autograd keeps of a forward pass: in all, and of the largest; of a vocabulary's logits, whose number has a limit."""

    total: int
    largest: int
    logits: int

    def grown(self, further: "_Kept", rows: int) -> "_Kept":
        """With so many more rows, each of which adds what `further` has more than this."""
        return _Kept(*(mine + rows * (others - mine) for mine, others in zip(astuple(self), astuple(further), strict=True)))


def predict(model: PreTrainedModel, batch: Batch, loss: Loss, *, averaged: bool, parts: int = 1) -> Need:
    """The need of training `model` on micro-batches like `batch`, in a process that holds one of so many `parts` of every state.

    The activations are what autograd keeps of a forward pass over the batch's first two rows, and with each further row as much more as
    with the third one.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    two, three = (_kept(model, {name: value[:rows].to(model.device) for name, value in batch.items()}, loss) for rows in (2, 3))
    kept = two.grown(three, len(batch["input_ids"]) - 2) if len(batch["input_ids"]) > 2 else two
    return Need(
        states=sum((5 if averaged else 4) * FLOAT * parameter.numel() for parameter in trained) // parts,
        activations=kept.total + min(kept.logits, LOGITS_HELD),
        passing=2 * kept.largest,
    )


def _kept(model: PreTrainedModel, rows: Batch, loss: Loss) -> _Kept:
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, Tensor] = {}  # by address; holding them keeps addresses from being used again

    def note(tensor: Tensor) -> Tensor:
        bare = tensor.detach()  # with the graph that made it, it would be part of a circle that no collector sees
        if bare.untyped_storage().data_ptr() not in weights:
            kept[bare.untyped_storage().data_ptr()] = bare
        return bare

    model.train()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss(model, rows)
    logits, others = [0], [0]
    for tensor in kept.values():
        (logits if model.config.vocab_size in tensor.shape else others).append(tensor.untyped_storage().nbytes())
    return _Kept(sum(others), max(others), sum(logits))


def require(need: Need, left: int) -> None:
    """Go on only if so many bytes are `left` for it.

    Raises:
        UserError: it needs more.
    """
    if need.total > left:
        raise UserError(
            f"params.yaml: training needs {need.total / 2**30:.1f} GiB more memory at its peak, and {left / 2**30:.1f} GiB are left; "
            "lower batch_size (and raise accumulation), context or the model's sizes"
        )


def left(device: torch.device, num_processes: int) -> int:
    """Bytes that are available to one of so many processes; they have a card each, or share the machine's memory."""
    return available(device) // (1 if device.type == "cuda" else num_processes)


def available(device: torch.device, root: Path = Path("/")) -> int:
    """Bytes left: on the card, or of the machine's and of this container's memory; where nothing tells, as many as there are addresses."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    left = [2**63]
    if (machine := root / "proc/meminfo").exists():
        numbers = dict(line.split(":", 1) for line in machine.read_text(encoding="utf-8").splitlines())
        left.append(int(numbers["MemAvailable"].split()[0]) * 1024)
    limit, used = (root / "sys/fs/cgroup" / name for name in ("memory.max", "memory.current"))
    if limit.exists() and (text := limit.read_text(encoding="utf-8").strip()) != "max":
        left.append(int(text) - int(used.read_text(encoding="utf-8")))
    return min(left)
