"""A loss made in parts is the loss made at once, within 1e-6 relative, and so are its gradients within 1e-5."""

import shutil
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from model.backbone import DECODERS, ENCODERS, build, head
from model.linear_loss import parts, summed

VOCABULARY = 50
HIDDEN = torch.randn(13, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(0, VOCABULARY, (13,), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("architecture", ENCODERS + DECODERS)
def test_the_loss_in_parts_is_that_at_once(architecture: str, smoothing: float) -> None:
    sizes = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 24, "dropout": 0.0}
    model = build(architecture, vocab_size=VOCABULARY, context=16, seed=1, **sizes)
    most = 0

    def seen(hidden: Tensor) -> Tensor:
        nonlocal most
        most = max(most, len(hidden))
        return head(model, hidden)

    found = []
    for held, rows in ((VOCABULARY * 13, 13), (VOCABULARY * 4 + 3, 4), (1, 1)):
        model.zero_grad()
        hidden, most = HIDDEN.clone().requires_grad_(), 0
        total = summed(seen, hidden, LABELS, VOCABULARY, smoothing, held)
        total.backward()
        assert most == rows
        assert hidden.grad is not None
        weights = [weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]
        found.append((total.detach(), torch.cat([hidden.grad.flatten(), *weights])))
    whole = torch.nn.functional.cross_entropy(head(model, HIDDEN), LABELS, reduction="sum", label_smoothing=smoothing)
    for total, gradient in found:
        torch.testing.assert_close(total, whole.detach(), rtol=1e-6, atol=0)
        assert (gradient - found[0][1]).norm() < 1e-5 * found[0][1].norm()


@pytest.mark.e2e
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
@pytest.mark.parametrize("held", [VOCABULARY * 13, VOCABULARY * 4])
def test_a_fused_loss_and_its_gradients_are_those_of_one_that_is_not(held: int) -> None:
    weights = torch.randn(VOCABULARY, 16, generator=torch.Generator().manual_seed(2), requires_grad=True)
    found = []
    for fused in (False, True):
        hidden, weights.grad = HIDDEN.clone().requires_grad_(), None
        total = summed(partial(linear, weight=weights), hidden, LABELS, VOCABULARY, 0.1, held, fused)
        total.backward()
        assert hidden.grad is not None
        assert weights.grad is not None
        found.append((total.detach(), hidden.grad, weights.grad.clone()))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_parts_are_all_rows_in_their_order() -> None:
    pieces = [*parts(HIDDEN, LABELS, VOCABULARY, VOCABULARY * 5)]
    assert [len(labels) for _, labels in pieces] == [5, 5, 3]
    assert torch.equal(torch.cat([hidden for hidden, _ in pieces]), HIDDEN)
    assert torch.equal(torch.cat([labels for _, labels in pieces]), LABELS)
