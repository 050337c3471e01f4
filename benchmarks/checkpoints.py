"""What sealing checkpoints costs: the share of a training's time, and the size and seconds of one.

`python -m benchmarks.checkpoints [--steps 300] [--folder FOLDER]` trains the decoder of params.yaml on made-up blocks. Give
a folder on the disk of the project: its `fsync` is part of the price.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from model.rhythm import Rhythm
from tasks import params, pretrain
from tasks.blocks import Blocks

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--folder", type=Path, default=ROOT / ".stemma", help="where checkpoints go; nothing stays")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        rhythm, seconds, size = measure(given.steps, Path(folder))
    each = f"{1000 * rhythm.seconds_sealing / max(1, rhythm.num_sealed):.0f} ms and {size / 1e6:.1f} MB each"
    share = rhythm.seconds_sealing / seconds
    sys.stdout.write(f"{rhythm.num_sealed} checkpoints in {seconds:.0f} s of training, {each}: {share:.2%} of the time\n")


def measure(steps: int, folder: Path) -> tuple[Rhythm, float, int]:
    """The rhythm of a training after its end, the seconds it took, and the bytes of its last checkpoint."""
    from model.losses import Batch, language_loss, language_metrics
    from model.training import train

    sections, name = params.read(ROOT / "params.yaml"), "pretrain.decoder"
    numbers = replace(params.build(pretrain.Params, params.section(sections, name), name), max_steps=steps)
    vocab_size, context = (params.select(sections, f"tokenizer.{key}") for key in ("vocab_size", "context"))
    model = pretrain._built(numbers, vocab_size, context)

    def batch(index: int) -> Batch:
        random = np.random.default_rng(index)
        tokens = random.integers(6, vocab_size, (numbers.batch_size, context))
        return pretrain.causal_examples(Blocks(tokens, np.zeros_like(tokens)), index)

    rhythm = Rhythm()
    train(
        model,
        batch,
        validate=lambda model: language_metrics(model, [batch(10**9)]),
        loss=language_loss,
        params=numbers,
        checkpoints=folder,
        log=lambda step, values: None,
        progress=lambda done, total: None,
        rhythm=rhythm,
    )
    return rhythm, rhythm.seconds, max((sum(file.stat().st_size for file in path.iterdir()) for path in folder.glob("step-*")), default=0)


if __name__ == "__main__":
    main()
