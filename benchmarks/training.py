"""Tokens per second of Stemma's training loop and of others, on the same shapes and tokens, by turns, each in a process of its own.

`python -m benchmarks.training [--built build] [--rounds 3] [--steps 4] [--threads 1] [--only clm mlm sentiment qa]`. The others
(`benchmarks/loops.py`): Transformers' Trainer as its examples set it, the same with its best flags for this machine, and for a causal model
a minimal loop after nanoGPT. The fine-tunings read the tokenizer and the prepared splits under `--built`. One JSON document on stdout:
medians of tokens (no padding counts) per second of the processors and of the clock, Stemma's ratio to each by the former, which other
programs disturb less, and the matrix-multiplication rate measured between the turns with the share of it that Stemma uses: of the median
turn, which neighbours slow, and of the fastest step against the fastest multiplication, as on a quiet machine.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import loops
from model import applications, features, hardware, packing
from model.backbone import build
from model.losses import head_loss, language_loss
from model.vocabulary import CLS, IGNORED, MASK, PAD, SEP
from tasks import tables

SIZES: dict[str, Any] = {"hidden_size": 384, "num_layers": 6, "num_heads": 6, "dropout": 0.0, "seed": 1}
VOCABULARY, CONTEXT, BATCH = 8192, 256, 8
DOCUMENT = 600  # tokens of a document, on average
MASKED = 0.15
EXAMPLES, IN_BATCH = 2000, 32  # of a fine-tuning, in all and in a batch
CONTEXTS = {"sentiment": 128, "qa": 384}
TRAINERS = ("trainer", "trainer_best")
OTHERS = {"clm": (*TRAINERS, "plain"), "mlm": TRAINERS, "sentiment": TRAINERS, "qa": TRAINERS}


def case(name: str, built: Path) -> loops.Case:
    """A model and its data, the same in every process."""
    return {"clm": clm, "mlm": mlm}[name]() if name in ("clm", "mlm") else fine_tuning(name, built)


def clm() -> loops.Case:
    """A causal model from scratch."""
    tokens, documents = _blocks()
    model = build("llama", vocab_size=VOCABULARY, context=CONTEXT, intermediate_size=1024, **SIZES)

    def batch(index: int) -> dict[str, torch.Tensor]:
        rows = [(index * BATCH + row) % len(tokens) for row in range(BATCH)]
        return {
            "input_ids": tokens[rows],
            "documents": documents[rows],
            "labels": packing.causal_labels(tokens[rows], documents[rows]),
        }

    rows = [{"input_ids": row, "labels": row} for row in tokens]
    return loops.Case(model, batch, language_loss, rows, BATCH, loops.stacked)


def mlm() -> loops.Case:
    """A masked model from scratch."""
    tokens, documents = _blocks()
    model = build("modernbert", vocab_size=VOCABULARY, context=CONTEXT, intermediate_size=768, **SIZES)

    def masked(rows: torch.Tensor, index: int) -> dict[str, torch.Tensor]:
        chosen = torch.rand(rows.shape, generator=torch.Generator().manual_seed(index)) < MASKED
        return {"input_ids": rows.masked_fill(chosen, MASK), "labels": rows.masked_fill(~chosen, IGNORED)}

    def batch(index: int) -> dict[str, torch.Tensor]:
        rows = [(index * BATCH + row) % len(tokens) for row in range(BATCH)]
        return {**masked(tokens[rows], index), "documents": documents[rows]}

    rows = [masked(row, index) for index, row in enumerate(tokens)]
    return loops.Case(model, batch, language_loss, rows, BATCH, loops.stacked)


def fine_tuning(name: str, built: Path) -> loops.Case:
    """An application on an encoder of the same shape; the Trainer pads each batch to its longest example."""
    from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(built / "tokenizer")
    application, context = applications.load(name), CONTEXTS[name]
    rows = list(tables.rows(built / f"prepare/{name}/train.parquet"))[:EXAMPLES]
    labels = application.labels(rows)
    encoded = application.encode(rows, tokenizer, context, labels)
    base = build("modernbert", vocab_size=len(tokenizer), context=context, intermediate_size=768, **SIZES)
    auto: Any = AutoModelForQuestionAnswering if name == "qa" else AutoModelForSequenceClassification
    base.config.num_labels = 2 if name == "qa" else len(labels)
    model = auto.from_config(base.config, attn_implementation="sdpa", dtype=torch.float32)
    blocks = features.blocks(encoded, context, PAD)
    in_batch = max(1, round(IN_BATCH * len(blocks) / len(encoded)))  # blocks with as many examples
    order = features.shuffled(len(blocks), in_batch, 1)
    mixed = [encoded[at] for at in np.random.default_rng(1).permutation(len(encoded))]
    return loops.Case(
        model,
        lambda index: features.padded([blocks[at] for at in order(index)], PAD),
        head_loss,
        mixed,
        IN_BATCH,
        loops.dynamically_padded,
    )


def _blocks() -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(1)
    lengths = 16 + random.exponential(DOCUMENT - 16, 400).astype(int)
    documents = ([CLS, *random.integers(10, VOCABULARY, length).tolist(), SEP] for length in lengths)
    tokens, indices = zip(*packing.pack(documents, CONTEXT), strict=True)
    return torch.tensor(tokens[:-1]), torch.tensor(indices[:-1])


def turn(name: str, loop: str, steps: int, threads: int, built: Path) -> tuple[loops.Turn, float]:
    """One turn of a loop, and the matrix-multiplication rate of a core before it.

    In a process of its own: what one loop asks of the allocator, the compiler or torch would be there for the next.
    """
    torch.set_num_threads(threads)
    rate = hardware.matmul_rate(loops.precision(), torch.device("cpu")) / threads
    return loops.LOOPS[loop](case(name, built), steps), rate


def compare(name: str, others: Sequence[str], rounds: int, steps: int, threads: int, built: Path) -> dict[str, Any]:
    """Turns of each loop on a case, and what they come to."""
    numbers: dict[str, list[loops.Turn]] = {loop: [] for loop in ("stemma", *others)}
    rates = []
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as processes:
        for _ in range(rounds):
            for loop, turns in numbers.items():
                took, rate = processes.submit(turn, name, loop, steps, threads, built).result()
                turns.append(took)
                rates.append(rate)
                sys.stderr.write(f"{loop}: {took}\n")
    speeds = {loop: statistics.median(turn.tokens / turn.processor_seconds for turn in turns) for loop, turns in numbers.items()}
    by_clock = {loop: statistics.median(turn.tokens / turn.seconds for turn in turns) for loop, turns in numbers.items()}
    mine = case(name, built)
    meter = hardware.Meter(mine.model, loops.precision())
    meter.add([mine.batch(0)])
    operations = meter.operations / meter.tokens  # a token
    best = numbers["stemma"][0].tokens / steps / min(turn.fastest for turn in numbers["stemma"])
    return {
        "tokens_per_processor_second": {loop: round(speed, 1) for loop, speed in speeds.items()},
        "tokens_per_second": {loop: round(speed, 1) for loop, speed in by_clock.items()},
        "stemma_to": {loop: round(speeds["stemma"] / speed, 2) for loop, speed in speeds.items() if loop != "stemma"},
        "matmul_gflops_of_a_core": round(statistics.median(rates) / 1e9, 1),
        "stemma_share_of_matmul_rate": {
            "median": round(operations * speeds["stemma"] / statistics.median(rates), 3),
            "fastest": round(operations * best / max(rates), 3),
        },
    }


def main() -> None:
    """See the first lines of this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--built", type=Path, default=Path("build"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4, help="measured in a turn, after three that are not")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="+", default=list(OTHERS), choices=list(OTHERS))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if missing := loops.missing():
        sys.exit(f"the Trainer needs {missing}, which is not installed; install it, and this compares with it")
    found: dict[str, Any] = {
        "precision": loops.precision(),
        "compiled": hardware.has_compiler(),
        "threads": given.threads,
        "context": CONTEXT,
        "batch": BATCH,
    }
    for name in given.only:
        found[name] = compare(name, OTHERS[name], given.rounds, given.steps, given.threads, given.built)
        sys.stderr.write(f"{name}: {json.dumps(found[name])}\n")
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
