"""Products of bfloat16 matrices on a processor without instructions for them, where torch takes some hundred times as long as for float32.

Computed in float32 a tile at a time, and rounded: what a training keeps has the same size as with such instructions, and other bits.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product

import torch
from torch import Tensor

SIDE = 2048  # of a tile: 16 MB in float32


@contextmanager
def in_float32() -> Iterator[None]:
    """Until the end every product of matrices on the processor is computed so."""
    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings(action="ignore"):  # that there was another computation before
        for name, computed in (("mm", _product), ("bmm", _product), ("addmm", _sum_and_product), ("baddbmm", _sum_and_product)):
            library.impl(name, computed, "CPU")
            library.impl(f"{name}.out", computed, "CPU")
    try:
        yield
    finally:
        library._destroy()


def _product(left: Tensor, right: Tensor, *, out: Tensor | None = None) -> Tensor:
    out = left.new_empty((*left.shape[:-1], right.shape[-1])) if out is None else out
    return _tiled(left.new_zeros(()), left, right, out, beta=0, alpha=1)


def _sum_and_product(added: Tensor, left: Tensor, right: Tensor, *, beta: float = 1, alpha: float = 1, out: Tensor | None = None) -> Tensor:
    out = left.new_empty((*left.shape[:-1], right.shape[-1])) if out is None else out
    return _tiled(added, left, right, out, beta=beta, alpha=alpha)


def _tiled(added: Tensor, left: Tensor, right: Tensor, out: Tensor, *, beta: float, alpha: float) -> Tensor:
    """beta * added + alpha * left @ right into `out`: (rows, columns) or (matrices, rows, columns)."""
    kind = torch.float32 if out.dtype == torch.bfloat16 else out.dtype
    added, target = added.expand_as(out), out
    if out.ndim == 2:
        added, left, right, target = added[None], left[None], right[None], out[None]
    rows, inner, columns = left.shape[1], left.shape[2], right.shape[2]
    together = max(1, SIDE**2 // max(1, min(rows, SIDE) * min(columns, SIDE), min(rows, SIDE) * min(inner, SIDE)))
    for matrices, some, others in product(_slices(len(left), together), _slices(rows, SIDE), _slices(columns, SIDE)):
        sums = beta * added[matrices, some, others].to(kind) if beta else target.new_zeros((), dtype=kind)
        sums = sums.expand(target[matrices, some, others].shape).clone()
        for part in _slices(inner, SIDE):  # in place: these operators are not the ones replaced
            sums.baddbmm_(left[matrices, some, part].to(kind), right[matrices, part, others].to(kind), alpha=alpha)
        target[matrices, some, others] = sums
    return out


def _slices(length: int, step: int) -> Iterator[slice]:
    return (slice(start, start + step) for start in range(0, length, step))
