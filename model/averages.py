"""An exponential moving average of a model's weights, validated and kept in their place (Polyak and Juditsky, 1992)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """The average of `parameters`; a young one forgets faster, as TensorFlow's: by (1 + step) / (10 + step) at most."""

    def __init__(self, parameters: Mapping[str, Tensor], decay: float) -> None:
        self.parameters, self.decay = parameters, decay
        self.weights = {name: parameter.detach().clone() for name, parameter in parameters.items()}

    def update(self, step: int) -> None:
        """Take in the weights after optimizer step `step`, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        update = get_ema_multi_avg_fn(decay)
        update(list(self.weights.values()), [parameter.detach() for parameter in self.parameters.values()], None)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the model has the averaged weights; after it, its own again, to the bit."""
        own = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        _copy(self.weights, self.parameters)
        yield
        _copy(own, self.parameters)


@torch.no_grad()
def _copy(values: Mapping[str, Tensor], into: Mapping[str, Tensor]) -> None:
    for name, tensor in into.items():
        tensor.copy_(values[name])
