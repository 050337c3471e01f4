"""How much memory a training will take at its peak, said before it takes it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from .errors import UserError
from .losses import Batch, Loss

FLOAT = 4  # bytes


@dataclass(frozen=True)
class Need:
    """Bytes beside what the process holds already, the weights among that."""

    states: int  # gradients, AdamW's two moments, the copy of the best weights, and their average where there is one
    activations: int  # of one micro-batch, kept for the backward pass
    passing: int  # of the largest operation, while it runs

    @property
    def total(self) -> int:
        return self.states + self.activations + self.passing


def predict(model: PreTrainedModel, batch: Batch, loss: Loss, *, averaged: bool, parts: int = 1) -> Need:
    """The need of training `model` on micro-batches like `batch`, in a process that holds one of so many `parts` of every state.

    The activations are what autograd keeps of a forward pass over the batch's first row, as many times as there are rows.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, Tensor] = {}  # by address; holding them keeps addresses from being used again

    def note(tensor: Tensor) -> Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in weights:
            kept[address] = tensor
        return tensor

    row: dict[str, Any] = {name: value[:1].to(model.device) for name, value in batch.items()}
    model.train()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss(model, row)
    sizes = [tensor.untyped_storage().nbytes() for tensor in kept.values()]
    num_rows = len(batch["input_ids"])
    return Need(
        states=sum((5 if averaged else 4) * FLOAT * parameter.numel() for parameter in trained) // parts,
        activations=sum(sizes) * num_rows,
        passing=2 * max(sizes, default=0) * num_rows,
    )


def require(need: Need, device: torch.device, num_processes: int = 1) -> None:
    """Go on only if the device has that much left; processes have a card each, or share the machine's memory.

    Raises:
        UserError: it has less.
    """
    left = available(device) // (1 if device.type == "cuda" else num_processes)
    if need.total > left:
        raise UserError(
            f"params.yaml: training needs {need.total / 2**30:.1f} GiB more memory at its peak, and {left / 2**30:.1f} GiB are left; "
            "lower batch_size (and raise accumulation), context or the model's sizes"
        )


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
