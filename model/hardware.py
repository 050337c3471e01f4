"""What the machine can do, and how much of it a training uses: for people to see, never for an output."""

import ctypes
import resource
import shutil
import time
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from .errors import UserError
from .losses import Batch
from .params import Training

SIDE = 1024  # of the matrices whose product is timed
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
KEPT = 2**30  # bytes


def check(params: Training) -> None:
    """Whether the machine can do what `params` ask, before anything is computed.

    Raises:
        UserError: it multiplies bfloat16 slower than float32, or lacks a C++ compiler, and `slower_allowed` is false.
    """
    if params.slower_allowed:
        return
    if params.precision == "bfloat16" and (share := bfloat16_gain()) < 1:
        how = f"multiplies bfloat16 at {share:.2f} times the rate of float32" if share else "has no instructions for bfloat16"
        raise UserError(f"params.yaml: training.precision: this machine {how}; set it to float32, or slower_allowed to true")
    if params.compile and not has_compiler():
        raise UserError(
            f"params.yaml: training.compile: no C++ compiler ({_compiler()}) on PATH; "
            "install one, set it to false, or slower_allowed to true"
        )


def bfloat16_gain() -> float:
    """How many times faster the device multiplies bfloat16 than float32; 0 without instructions for it.

    It is measured: the instructions alone tell little, a virtual Xeon whose matrix unit is hidden takes twice as long with them.
    """
    if torch.cuda.is_available():
        device, supported = torch.device("cuda"), torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        device, supported = torch.device("cpu"), torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return matmul_rate("bfloat16", device) / matmul_rate("float32", device) if supported else 0.0


def has_compiler() -> bool:
    """Whether the C++ compiler that torch.compile would call is there."""
    return shutil.which(_compiler()) is not None


def matmul_rate(precision: str, device: torch.device) -> float:
    """Floating-point operations in a second of multiplying square matrices, the best of a few: what a training can hope for."""
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    side = SIDE * (8 if device.type == "cuda" else 1)
    matrix = torch.ones(side, side, dtype=kind, device=device)
    seconds = []
    for _ in range(4):  # the first one warms up
        start = _now(device)
        matrix @ matrix
        seconds.append(_now(device) - start)
    return 2 * side**3 / min(seconds)


def return_freed_memory() -> None:
    """Give the system what this process has freed and not returned by itself, where glibc manages it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def keep_freed_memory() -> None:
    """Have this process give memory that a tensor has left to the next one, where glibc manages it.

    By itself glibc returns what is beyond 32 MB to the system at once, and a step pays for each of its pages again. What is kept comes to
    lie in pieces, so that a training needs more of it (`memory.SCATTERED`).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_MMAP_THRESHOLD, KEPT)
        mallopt(M_TRIM_THRESHOLD, KEPT)


class Meter:
    """Tokens per second, the share of the matrix-multiplication rate that goes into the model, and the peak of memory.

    It watches one of `num_processes`, and takes the others to read as many tokens.
    """

    def __init__(self, model: PreTrainedModel, precision: str, num_processes: int = 1) -> None:
        self.device, self.num_processes = model.device, num_processes
        self.rate = matmul_rate(precision, self.device)
        self.body, self.head, self.width = _sizes(model)
        self._clear()

    def add(self, batches: Sequence[Batch]) -> None:
        """Count a step's batches."""
        for batch in batches:
            own = batch["documents"] >= 0 if "documents" in batch else batch.get("attention_mask", torch.ones_like(batch["input_ids"]))
            self.tokens += int(own.sum())
            self.operations += operations(self.body, self.head, self.width, batch)

    def read(self) -> dict[str, float]:
        """What was measured since the last reading."""
        seconds = _now(self.device) - self.start
        values = {
            "tokens_per_second": self.num_processes * self.tokens / seconds,
            "model_flop_utilisation": self.operations / seconds / self.rate,
            "peak_memory_bytes": float(peak_memory(self.device)),
        }
        self._clear()
        return values

    def pause(self) -> None:
        """Do not count what comes until the next `add`: an evaluation, a checkpoint."""
        self._clear()

    def _clear(self) -> None:
        self.tokens, self.operations, self.start = 0, 0.0, _now(self.device)


def operations(body: int, head: int, width: int, batch: Batch) -> float:
    """Of a forward and a backward pass over `batch`: six a weight and token, and the products inside attention (Chowdhery et al., 2022).

    `body` weights see every position, `head` weights the labelled ones; `width` is the sum of the layers' hidden sizes.
    """
    num_rows, length = batch["input_ids"].shape
    labels = int((batch["labels"] >= 0).sum()) if "labels" in batch else num_rows * length
    return 6.0 * (body * num_rows * length + head * labels) + 12.0 * width * length * num_rows * length


def peak_memory(device: torch.device) -> int:
    """Bytes: of the device, or of this process since it began."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _sizes(model: PreTrainedModel) -> tuple[int, int, int]:
    config = model.config
    embedded = sum(module.weight.numel() for module in model.modules() if isinstance(module, torch.nn.Embedding))
    output = model.get_output_embeddings()
    head = output.weight.numel() if output is not None else 0
    total = sum(parameter.numel() for parameter in model.parameters())
    tied = output is not None and output.weight is model.get_input_embeddings().weight
    return total - embedded - (0 if tied else head), head, config.num_hidden_layers * config.hidden_size


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _compiler() -> str:
    from torch._inductor import config

    return config.cpp.cxx[1]
