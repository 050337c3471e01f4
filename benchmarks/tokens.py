"""Memory and seconds of reading blocks of tokens: mapped, as `tasks/blocks.py` does, and from Parquet, whole, as it did before.

`python -m benchmarks.tokens [--millions 1 10 100] [--context 128]`: one JSON document on stdout. Each way has a process of its own, which
opens the blocks, makes a thousand batches at random places and counts all tokens; `pretrain` is the stage with a tiny model. Memory is
what the process holds beyond pages of files, which the system takes back when it needs them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from model.vocabulary import CLS, END, SEP
from tasks import blocks, params, pretrain, tokenizer
from tasks.session import Session

ROOT = Path(__file__).parents[1]
VOCABULARY = 300
BATCH, BATCHES = 32, 1000
ROWS = 1024


def made_up(num_tokens: int, context: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of documents of 50 tokens each."""
    random, places = np.random.default_rng(1), np.arange(ROWS * context).reshape(ROWS, context)
    for start in range(0, num_tokens // context, ROWS):
        position = places + start * context
        tokens = np.where(np.isin(position % 50, (0, 49)), END, random.integers(6, VOCABULARY, position.shape))
        numbers = position // 50
        yield from zip(tokens, numbers - numbers[:, :1], strict=True)


def prepare(folder: Path, num_tokens: int, context: int) -> None:
    """What the tokenizer stage leaves, and the training blocks also as Parquet."""
    tokenizer.save(tokenizer.train([chr(number) * 3 for number in range(97, 123)], VOCABULARY, 1), folder)
    blocks.write(made_up(num_tokens, context), folder / "train.arrow", context, VOCABULARY)
    blocks.write(made_up(ROWS * context, context), folder / "validation.arrow", context, VOCABULARY)
    (folder / "corpus.json").write_text(json.dumps({"validation": {"bytes": ROWS * context * 4, "documents": 1}}), encoding="utf-8")
    reader = pa.ipc.open_file(pa.memory_map(str(folder / "train.arrow")))
    with pq.ParquetWriter(folder / "train.parquet", reader.schema, compression="zstd") as writer:
        for number in range(reader.num_record_batches):
            writer.write_batch(reader.get_batch(number))


def mapped(folder: Path) -> dict[str, float]:
    """Open, make batches, count."""
    started = time.perf_counter()
    train = replace(blocks.read(folder / "train.arrow"), ends=(CLS, SEP))
    return _used(started, len(train), train.rows, lambda: blocks.frequencies(some.tokens for some in train.portions()))


def whole(folder: Path) -> dict[str, float]:
    """The same with all blocks in memory, in 64 bits, their ends replaced in a copy."""
    started = time.perf_counter()
    table = pq.read_table(folder / "train.parquet")
    columns = (table[name].combine_chunks() for name in ("input_ids", "documents"))
    stored, documents = (np.asarray(column.flatten(), dtype=np.int64).reshape(len(table), -1) for column in columns)
    tokens = stored.flatten()
    ends = np.flatnonzero(tokens == END)
    tokens[ends[::2]], tokens[ends[1::2]] = CLS, SEP
    tokens = tokens.reshape(stored.shape)
    return _used(started, len(tokens), lambda items: blocks.Blocks(tokens[items], documents[items]), lambda: np.bincount(tokens.ravel()))


def stage(folder: Path) -> dict[str, float]:
    """Three steps of a decoder with one narrow layer."""
    section = params.section(params.read(ROOT / "params.yaml"), "pretrain.decoder")
    section |= {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 24, "init_from": None}
    section |= {"max_steps": 3, "evaluate_every": 3, "compile": False, "precision": "float32", "num_threads": 1}
    session = Session(folder / "checkpoints", log=lambda step, values: None, progress=lambda done, total: None)
    started = time.perf_counter()
    pretrain.run(folder, folder, folder / "out", params=params.build(pretrain.Params, section, "pretrain.decoder"), session=session)
    return {"seconds": time.perf_counter() - started}


WAYS = {"mapped": mapped, "whole": whole, "pretrain": stage}


def watched(way: Callable[[Path], dict[str, float]], folder: Path) -> dict[str, float]:
    """What `way` measures, and the most memory it held beyond what the process held before."""
    import torch
    import transformers  # noqa: F401  what they take is the same for all

    torch.zeros(1)
    before, peak, ended = _anonymous(), [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.005):
            peak[0] = max(peak[0], _anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    found = way(folder)
    ended.set()
    watcher.join()
    return {"peak_mib": (peak[0] - before) >> 20, **{name: round(value, 4) for name, value in found.items()}}


def _used(started: float, num_rows: int, rows: Callable[[list[int]], blocks.Blocks], count: Callable[[], np.ndarray]) -> dict[str, float]:
    opened, random = time.perf_counter(), np.random.default_rng(2)
    for _ in range(BATCHES):
        rows(random.integers(num_rows, size=BATCH).tolist())
    read = time.perf_counter()
    count()
    return {
        "seconds_opening": opened - started,
        "milliseconds_a_batch": 1000 * (read - opened) / BATCHES,
        "seconds_counting": time.perf_counter() - read,
    }


def _anonymous() -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def main() -> None:
    """See the first lines of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", nargs="+", type=int, default=[1, 10, 100], help="tokens")
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--here", type=Path, help="one way, in this process, of the blocks in this folder")
    given = parser.parse_args()
    if given.here:
        sys.stdout.write(json.dumps(watched(WAYS[given.ways[0]], given.here)) + "\n")
        return
    found: list[dict[str, Any]] = []
    for millions in given.millions:
        with tempfile.TemporaryDirectory() as name:
            prepare(Path(name), millions * 10**6, given.context)
            sizes = {f"{ending}_mib": (Path(name) / f"train.{ending}").stat().st_size >> 20 for ending in ("arrow", "parquet")}
            found.append({"million_tokens": millions, **sizes})
            for way in given.ways:
                command = [sys.executable, "-m", "benchmarks.tokens", "--here", name, "--ways", way]
                printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                found.append({"million_tokens": millions, "way": way, **json.loads(printed.splitlines()[-1])})
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
