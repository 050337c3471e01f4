"""Several examples in one block have the loss and the gradients that each has alone: within 1e-5 relative, in float32."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from model.applications import load
from model.backbone import DECODERS, ENCODERS
from model.features import blocks, padded
from model.losses import Batch, Loss, head_loss, language_loss, mean_loss
from model.training import train
from model.vocabulary import IGNORED, PAD

from .tiny import PARAMS

SMOOTHING = 0.1
CONTEXT = 32
LENGTHS = (20, 5, 31, 9, 3, 12, 7, 32)
LABELS = {"sentiment": ["bad", "fair", "good"], "qa": [], "srl": ["B-A0", "B-V", "I-A0", "I-V", "O"], "translation": []}


def features(application: str) -> list[dict[str, int | list[int]]]:
    random = torch.Generator().manual_seed(0)
    found: list[dict[str, int | list[int]]] = []
    for at, length in enumerate(LENGTHS):
        ids = torch.randint(6, 400, (length,), generator=random).tolist()
        tags = [IGNORED, *(token % 5 for token in ids[1:-1]), IGNORED]
        told: dict[str, Mapping[str, int | list[int]]] = {
            "sentiment": {"labels": at % 3},
            "qa": {"start_positions": at % 3, "end_positions": length - 1},
            "srl": {"labels": tags},
            "translation": {"labels": [IGNORED, *ids[1:]]},
        }
        found.append({"input_ids": ids, **told[application]})
    return found


def losses(model: PreTrainedModel, batches: Sequence[Mapping[str, Tensor]], loss: Loss) -> tuple[float, int, Tensor]:
    """The sum over batches, the number of labels, and the gradient of all weights."""
    model.zero_grad()
    total, count = 0.0, 0
    for batch in batches:
        batch_total, batch_count = loss(model, batch, SMOOTHING)
        batch_total.backward()
        total, count = total + float(batch_total.detach()), count + int(batch_count)
    return total, count, torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


def test_the_loss_curve_of_packed_training_is_that_of_padded_training(bases: Path, tmp_path: Path) -> None:
    params = replace(PARAMS, max_steps=8, accumulation=1, learning_rate=0.003)
    examples, histories = features("qa"), []
    together = blocks([{**example, "at": at} for at, example in enumerate(examples)], CONTEXT, PAD)
    members = [[at for at in block.pop("at") if at != IGNORED] for block in together]
    for packed in (True, False):

        def batch(index: int, packed: bool = packed) -> Batch:
            chosen = [index % 4, (index + 1) % 4]
            return padded([together[at] for at in chosen] if packed else [examples[at] for row in chosen for at in members[row]], PAD)

        torch.manual_seed(1)
        model = load("qa").open_model(bases / "modernbert", [], dropout=0.0)
        curve = train(
            model,
            batch=batch,
            validate=lambda model: {"validation_loss": mean_loss(model, [padded(examples, PAD)], head_loss)},
            loss=head_loss,
            params=params,
            checkpoints=tmp_path / str(packed),
            log=lambda step, values: None,
            progress=lambda done, total: None,
        )
        histories.append([entry[name] for entry in curve for name in ("loss", "validation_loss", "gradient_norm") if name in entry])
    assert histories[0] == pytest.approx(histories[1], rel=1e-4)


CASES = [(application, base) for application in ("sentiment", "qa", "srl") for base in ENCODERS + DECODERS]


@pytest.mark.parametrize(("application", "base"), [*CASES, ("translation", "gpt2"), ("translation", "llama")])
def test_packed_examples_have_the_loss_and_gradients_of_padded_ones(application: str, base: str, bases: Path) -> None:
    torch.manual_seed(1)
    model = load(application).open_model(bases / base, LABELS[application], dropout=0.0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(5 if weight.ndim > 1 else 1)  # so that tokens look at each other more than fresh weights let them
    loss = language_loss if application == "translation" else head_loss
    examples = features(application)
    packed = blocks(examples, CONTEXT, PAD)
    assert len(packed) == 4 < len(examples)
    alone = losses(model, [padded([example], PAD) for example in examples], loss)
    for batches in ([padded(packed, PAD)], [padded(packed[:2], PAD), padded(packed[2:], PAD)], [padded(examples, PAD)]):
        total, count, gradient = losses(model, batches, loss)
        assert count == alone[1] == {"sentiment": 8, "qa": 16, "srl": sum(LENGTHS) - 16, "translation": sum(LENGTHS) - 8}[application]
        assert total == pytest.approx(alone[0], rel=1e-5)
        assert (gradient - alone[2]).norm() < 1e-5 * alone[2].norm()
