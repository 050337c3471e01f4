"""The averaged weights are an exponential mean, validated and kept in place of the weights themselves."""

import pytest
import torch

from model.averages import Average


def test_the_average_follows_the_weights_and_an_old_one_more_slowly() -> None:
    parameters = {"weight": torch.nn.Parameter(torch.zeros(3))}
    average = Average(parameters, decay=0.5)
    with torch.no_grad():
        parameters["weight"].fill_(1.0)
    expected = 0.0
    for step, decay in ((1, 2 / 11), (2, 3 / 12), (100, 0.5), (101, 0.5)):
        average.update(step)
        expected = decay * expected + (1 - decay)
        assert average.weights["weight"].tolist() == pytest.approx([expected] * 3)


def test_the_model_has_the_averaged_weights_inside_and_its_own_after_it() -> None:
    model = torch.nn.Linear(4, 2)
    average = Average(dict(model.named_parameters()), decay=0.9)
    first = model.weight.detach().clone()
    with torch.no_grad():
        model.weight.mul_(3.0)
    own = model.weight.detach().clone()
    with average.applied():
        assert torch.equal(model.weight, first)
    assert torch.equal(model.weight, own)
