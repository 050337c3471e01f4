"""A training on several processes: each takes its share of a step's micro-batches, and all take the step together.

Each holds the whole model (DistributedDataParallel), or a part of each of its tensors (FSDP2). Whoever starts the processes has each of
them `join`; in a process that did not, all of this is as if there were no others.
"""

import copy
import os
import socket
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel

from .adaptation import layers
from .errors import UserError
from .params import Training

T = TypeVar("T")

LOOPBACK = "127.0.0.1"
PATIENCE = timedelta(days=7)  # with one another: a process that has died is noticed by its closed connections, and one that is slow may be


def join(rank: int, num_processes: int, port: int, listening: int | None = None) -> None:
    """Meet the others at a port of this machine, on which rank 0 is `listening` (a file descriptor that is ours to close from now on).

    Raises:
        UserError: there are cards, and not one for each process.
    """
    on_cards = torch.cuda.is_available()
    if on_cards and num_processes > (there := torch.cuda.device_count()):
        raise UserError(f"params.yaml: training.num_processes: {num_processes}, and there is a card for {there}; lower it")
    if on_cards:
        torch.cuda.set_device(rank)
    loopback = next(name for _, name in socket.if_nameindex() if name in ("lo", "lo0"))
    os.environ |= {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback}
    store = dist.TCPStore(
        LOOPBACK, port, num_processes, is_master=listening is not None, wait_for_workers=False, master_listen_fd=listening, timeout=PATIENCE
    )
    backend = "cpu:gloo,cuda:nccl" if on_cards else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=num_processes, timeout=PATIENCE)


def leave() -> None:
    """The others may go on without this process, which trains no more."""
    if dist.is_initialized():
        dist.destroy_process_group()


def size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def check(params: Training) -> None:
    """As many processes have joined as `params` ask for.

    Raises:
        UserError: they have not.
    """
    if size() != params.num_processes:
        what = f"{params.num_processes}, and this training was started on {size()}"
        raise UserError(f"params.yaml: training.num_processes: {what}; start the stage by `stemma run`, `dvc repro` or `python -m tasks`")


def from_first(value: T) -> T:
    """Rank 0's."""
    if size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def agree(value: object) -> None:
    """Every process has come to the same."""
    first = from_first(value)
    assert first == value, f"process 1 of {size()} has {first}, process {rank() + 1} {value}"


def in_turn(work: Callable[[], None]) -> None:
    """`work()` on rank 0, and when that is done on the others."""
    for turn in (True, False):
        if turn == (rank() == 0):
            work()
        from_first(None)


def of_all(totals: Sequence[float], count: int) -> tuple[list[float], int]:
    """The losses of the micro-batches of a step in their order, and the number of their labels, from those of each process."""
    if size() == 1:
        return [*totals], count
    own = torch.tensor([*totals, count], dtype=torch.float64)
    found = own.new_empty(size(), len(own))
    dist.all_gather(list(found.unbind()), own)
    return found[:, :-1].T.flatten().tolist(), int(found[:, -1].sum())


class Work(nn.Module):
    """Its forward pass is `work(model, ...)`: losses call parts of a model, so what surrounds a forward pass has to surround a loss."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, work: Callable[..., T], *arguments: Any) -> T:
        return work(self.model, *arguments)


def divided(model: PreTrainedModel) -> PreTrainedModel:
    """A model of whose tensors each process has a part; `model` itself is left without weights until they are put `together`."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    parts = copy.deepcopy(model)
    for parameter in model.parameters():
        parameter.data = parameter.data.new_empty(0)
    mesh = init_device_mesh("cuda" if torch.cuda.is_available() else "cpu", (size(),))
    for layer in layers(parts)[1]:
        fully_shard(layer, mesh=mesh)
    return parts


def wrapped(model: PreTrainedModel, params: Training) -> nn.Module:
    """`Work` of a model; its gradients are the mean over the processes."""
    work = Work(model)
    if params.sharded:
        from torch.distributed.fsdp import fully_shard

        mesh = next(parameter.device_mesh for parameter in model.parameters() if isinstance(parameter, DTensor))
        fully_shard(work, mesh=mesh, reshard_after_forward=True)  # so that averaged weights do not stay behind
    if params.sharded or size() == 1:
        return work
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # broadcast_buffers has another name from torch 2.13 on
        return DistributedDataParallel(
            work,
            device_ids=[model.device.index] if model.device.type == "cuda" else None,
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
            find_unused_parameters=True,  # else buckets are arranged anew after the first step, and sums in another order when resumed
        )


def accumulating(work: nn.Module, last: bool) -> AbstractContextManager:
    """Around both passes of a micro-batch: whole gradients are exchanged with the `last` one of a step, parts of them with each."""
    return work.no_sync() if isinstance(work, DistributedDataParallel) and not last else nullcontext()


def full(tensor: Tensor) -> Tensor:
    """All of a tensor of which each process has a part; every one of them has to ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All of each tensor, on rank 0; the others have to ask too, and get nothing."""
    found = dict[str, Tensor]()
    for name, tensor in tensors.items():
        one = full(tensor).cpu() if isinstance(tensor, DTensor) else tensor  # one at a time: together they may not fit the card
        if rank() == 0:
            found[name] = one
    return found


def part(tensor: Tensor, parameter: Tensor) -> Tensor:
    """What of a whole tensor belongs beside this process's part of a parameter, on its device."""
    if isinstance(parameter, DTensor) and tensor.shape == parameter.shape:
        return distribute_tensor(tensor.to(parameter.device), parameter.device_mesh, parameter.placements, src_data_rank=None)
    return tensor.to(parameter.device)


def together(parts: PreTrainedModel, model: PreTrainedModel) -> None:
    """Put the weights of a `divided` model back into `model`, on rank 0."""
    weights = whole({name: parameter.detach() for name, parameter in parts.named_parameters()})
    for name, parameter in model.named_parameters():
        if name in weights:
            parameter.data = weights[name]
