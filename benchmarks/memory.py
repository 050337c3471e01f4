"""The peak of memory of pretraining with a profile's shapes: predicted (`model/memory.py`) and measured, each in its own process.

`python -m benchmarks.memory [--profile nano base gpu] [--base encoder decoder] [--steps 3] [--batch-size 4] [--threads 2]`: JSON on stdout.
What a training predicts itself before its first step is compared with the peak of its process, what the system has moved to its swap
included: with enough of that, or with another batch size than the profile's, this machine measures what was meant for a larger one. A base
that goes on from a checkpoint is measured with fresh weights of the same shape, which `SHAPES` has. A processor without instructions for
bfloat16 computes its products as `benchmarks/products.py` says.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any
from unittest import mock

from ruamel.yaml import YAML

from tasks import params, pretrain

ROOT = Path(__file__).parents[1]
SHAPE = ("architecture", "hidden_size", "num_layers", "num_heads", "intermediate_size", "vocab_size")
SHAPES: dict[str, dict[str, Any]] = {  # of the checkpoints that a profile goes on from
    "minilm": dict(zip(SHAPE, ("bert", 384, 6, 12, 1536, 30522), strict=True)),
    "smollm2": dict(zip(SHAPE, ("llama", 576, 30, 9, 1536, 49152), strict=True)),
}


def numbers(profile: str, base: str) -> tuple[pretrain.Params, int, int]:
    """The numbers of a base in a profile, its vocabulary and its context."""
    yaml = YAML(typ="safe")
    sections = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    over = yaml.load((ROOT / f"profiles/{profile}.yaml").read_text(encoding="utf-8"))
    sections["tokenizer"] |= over["tokenizer"]
    sections["training"] |= over["training"]
    sections["pretrain"][base] |= over["pretrain"][base]
    shape = dict(SHAPES.get(sections["pretrain"][base]["init_from"], {}))
    vocabulary = shape.pop("vocab_size", sections["tokenizer"]["vocab_size"])
    section = params.section(sections, f"pretrain.{base}") | shape | {"init_from": None, "slower_allowed": True}
    return params.build(pretrain.Params, section, f"pretrain.{base}"), vocabulary, sections["tokenizer"]["context"]


def one(profile: str, base: str, steps: int, batch_size: int | None, threads: int | None) -> dict[str, Any]:
    """Predict and measure, in this process."""
    import numpy as np
    import torch

    from model import backbone, hardware, memory, packing, training
    from model.losses import Batch, language_loss, mean_loss
    from model.vocabulary import IGNORED

    from . import products

    given, vocabulary, context = numbers(profile, base)
    given = replace(given, batch_size=batch_size or given.batch_size, num_threads=threads or given.num_threads)
    in_float32 = given.precision == "bfloat16" and not hardware.bfloat16_gain()
    torch.set_num_threads(given.num_threads)
    shape = {name: getattr(given, name) for name in ("hidden_size", "num_layers", "num_heads", "intermediate_size", "dropout", "seed")}
    model = backbone.build(given.architecture, vocab_size=vocabulary, context=max(512, context), **shape)
    share = given.mask_probability

    def batch(index: int) -> Batch:
        random = np.random.default_rng(index)
        tokens = torch.from_numpy(random.integers(10, vocabulary, (given.batch_size, context)))
        documents = (torch.arange(context) >= context // 3).long().expand_as(tokens)
        labels = packing.causal_labels(tokens, documents)
        if share is not None:
            labels = tokens.where(torch.from_numpy(random.random(tokens.shape) < share), IGNORED)
        return {"input_ids": tokens, "documents": documents, "labels": labels}

    found: dict[str, Any] = {"profile": profile, "base": base, "batch_size": given.batch_size, "parameters": model.num_parameters()}
    found["products_in_float32"] = in_float32

    def predicted(need: memory.Need, left: int) -> None:
        hardware.return_freed_memory()
        found["before_mib"] = _status("VmRSS", "VmSwap") >> 20
        found["predicted_more_mib"] = (need.with_freed_kept if need.with_freed_kept <= left else need.total) >> 20
        found["predicted_peak_mib"] = found["before_mib"] + found["predicted_more_mib"]
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak of VmHWM starts anew
        seen.clear()

    computed = products.in_float32() if in_float32 else nullcontext()
    with computed, tempfile.TemporaryDirectory() as folder, mock.patch.object(memory, "require", predicted), _watched() as seen:
        training.train(
            model,
            batch=batch,
            validate=lambda model: {"validation_loss": mean_loss(model, [batch(-1 % 99)], language_loss)},
            loss=language_loss,
            params=replace(given, max_steps=steps, evaluate_every=steps),
            checkpoints=Path(folder),
            log=lambda step, values: None,
            progress=lambda done, total: None,
        )
    found["measured_peak_mib"] = max([_status("VmHWM"), *seen]) >> 20
    found["measured_more_mib"] = found["measured_peak_mib"] - found["before_mib"]
    found["predicted_to_measured"] = round(found["predicted_peak_mib"] / found["measured_peak_mib"], 2)
    found["of_what_is_more"] = round(found["predicted_more_mib"] / found["measured_more_mib"], 2)
    return found


@contextmanager
def _watched() -> Iterator[list[int]]:
    """Bytes of this process in memory and in the swap, looked at twenty times a second: of the two the system keeps no peak."""
    seen, done = list[int](), Event()

    def watch() -> None:
        while not done.wait(0.05):
            seen.append(_status("VmRSS", "VmSwap"))

    thread = Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def _status(*names: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.split(":")[0] in names)


def main() -> None:
    """See the first lines of this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", nargs="+", default=["nano"])
    parser.add_argument("--base", nargs="+", default=["encoder", "decoder"])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--batch-size", type=int, help="instead of the profile's")
    parser.add_argument("--threads", type=int, help="instead of the profile's")
    parser.add_argument("--here", action="store_true", help="in this process")
    given = parser.parse_args()
    if given.here:
        sys.stdout.write(json.dumps(one(given.profile[0], given.base[0], given.steps, given.batch_size, given.threads)) + "\n")
        return
    found = []
    for profile in given.profile:
        for base in given.base:
            one_base = ["--here", "--profile", profile, "--base", base, "--steps", str(given.steps)]
            one_base += ["--batch-size", str(given.batch_size)] if given.batch_size else []
            one_base += ["--threads", str(given.threads)] if given.threads else []
            command = [sys.executable, "-m", "benchmarks.memory", *one_base]
            found.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]))
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
