"""The peak of memory of pretraining with a profile's shapes: predicted (`model/memory.py`) and measured, each in its own process.

`python -m benchmarks.memory [--profile nano base gpu] [--base encoder decoder] [--steps 3]`: one JSON document on stdout
(0 steps: predict only).
A base that goes on from a checkpoint is measured with fresh weights of the same shape, which `SHAPES` has.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

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
    section = params.section(sections, f"pretrain.{base}") | shape | {"init_from": None, "slower_allowed": True, "compile": False}
    return params.build(pretrain.Params, section, f"pretrain.{base}"), vocabulary, sections["tokenizer"]["context"]


def one(profile: str, base: str, steps: int) -> dict[str, Any]:
    """Predict, and unless `steps` is 0 measure, in this process."""
    import numpy as np
    import torch

    from model import backbone, memory, packing, training
    from model.losses import Batch, language_loss, mean_loss
    from model.vocabulary import IGNORED

    given, vocabulary, context = numbers(profile, base)
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

    before = _status("VmRSS")
    need = memory.predict(model, batch(0), language_loss, averaged=bool(given.ema_decay))
    found: dict[str, Any] = {"profile": profile, "base": base, "parameters": model.num_parameters(), "before_mib": before >> 20}
    found |= {"predicted_more_mib": need.total >> 20, "predicted_peak_mib": (before + need.total) >> 20}
    if steps:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak starts anew
        with tempfile.TemporaryDirectory() as folder:
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
        peak = _status("VmHWM")
        found |= {"measured_more_mib": (peak - before) >> 20, "measured_peak_mib": peak >> 20}
        found |= {
            "predicted_to_measured": round((before + need.total) / peak, 2),
            "of_what_is_more": round(need.total / (peak - before), 2),
        }
    return found


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    """See the first lines of this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", nargs="+", default=["nano"])
    parser.add_argument("--base", nargs="+", default=["encoder", "decoder"])
    parser.add_argument("--steps", type=int, default=3, help="0: predict only")
    parser.add_argument("--here", action="store_true", help="in this process")
    given = parser.parse_args()
    if given.here:
        sys.stdout.write(json.dumps(one(given.profile[0], given.base[0], given.steps)) + "\n")
        return
    found = []
    for profile in given.profile:
        for base in given.base:
            one_base = ["--here", "--profile", profile, "--base", base, "--steps", str(given.steps)]
            command = [sys.executable, "-m", "benchmarks.memory", *one_base]
            found.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]))
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
