"""What a stage may use besides its paths and Params; nothing of it decides a byte of an output."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Session:
    """The way out for curves and progress, and the place for checkpoints while training."""

    checkpoints: Path  # a folder of this stage and key alone; kept until the stage has succeeded
    log: Callable[[int, Mapping[str, float]], None]  # (step, values): a point of each curve, as history.jsonl has it; from the first
    progress: Callable[[int, int], None]  # (done, total): drives the progress bar
    leads: bool = True  # whether this process writes the outputs; of a training on several processes, one does
