"""Tokens per second of a training on one process and on two, by turns: the same steps of the same batches.

`python -m benchmarks.processes [--rounds 2] [--steps 3]`: the causal model of `benchmarks/training.py` in float32, uncompiled, a step of
two batches. One JSON document on stdout: medians over the measured steps, tokens by the clock and by the seconds of all processors
together, which other programs disturb less.
"""

import argparse
import json
import socket
import statistics
import sys
import tempfile
from itertools import pairwise
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing

from benchmarks import loops, training
from model import parallel
from model.training import train

CASES: dict[str, dict[str, Any]] = {
    "one process, one thread": {"num_processes": 1, "num_threads": 1},
    "one process, two threads": {"num_processes": 1, "num_threads": 2},
    "two processes": {"num_processes": 2, "num_threads": 1},
    "two processes, sharded": {"num_processes": 2, "num_threads": 1, "sharded": True},
}


def measure(rank: int, port: int, changes: dict[str, Any], steps: int, found: "SimpleQueue[tuple[list[float], list[float]]]") -> None:
    """One process of one training: puts the seconds of each measured step, by the clock and by its processor, into `found`."""
    if changes["num_processes"] > 1:
        parallel.join(rank, changes["num_processes"], port, None if rank else socket.create_server(("127.0.0.1", port)).detach())
    case, stamps = training.clm(), loops.Stamps()
    total = loops.WARM + steps + 1  # the last one evaluates
    numbers = loops.numbers(case, total, accumulation=2, precision="float32", compile=False, **changes)
    with tempfile.TemporaryDirectory() as folder:
        train(
            case.model,
            batch=case.batch,
            validate=lambda model: {"validation_loss": 0.0},
            loss=case.loss,
            params=numbers,
            checkpoints=Path(folder),
            log=lambda step, values: None,
            progress=stamps,
        )
    clock, processor = ([after - before for before, after in pairwise(times[1:-1])] for times in (stamps.clock, stamps.processor))
    found.put((clock, processor))
    parallel.leave()


def turn(changes: dict[str, Any], steps: int) -> tuple[list[float], list[float]]:
    """Seconds of each step: by the clock of rank 0, and by the processors of all."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = torch.multiprocessing.get_context("spawn").SimpleQueue()
    torch.multiprocessing.spawn(measure, (port, changes, steps, found), nprocs=changes["num_processes"])
    each = [found.get() for _ in range(changes["num_processes"])]
    return each[0][0], [sum(step) for step in zip(*(processor for _, processor in each), strict=True)]


def main() -> None:
    """See the first lines of this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3, help="measured in a turn, after two that are not")
    given = parser.parse_args()
    clock: dict[str, list[float]] = {name: [] for name in CASES}
    processor: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(given.rounds):
        for name, changes in CASES.items():
            seconds, busy = turn(changes, given.steps)
            clock[name] += seconds
            processor[name] += busy
            sys.stderr.write(f"{name}: {seconds} {busy}\n")
    tokens = 2 * training.BATCH * training.CONTEXT
    speeds = {
        name: {
            "tokens_per_second": round(tokens / statistics.median(clock[name]), 1),
            "fastest_step": round(tokens / min(clock[name]), 1),
            "tokens_per_processor_second": round(tokens / statistics.median(processor[name]), 1),
        }
        for name in CASES
    }
    sys.stdout.write(json.dumps(speeds, indent=2) + "\n")


if __name__ == "__main__":
    main()
