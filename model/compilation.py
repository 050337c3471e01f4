"""What `torch.compile` takes over in a training: the layers of the base, which share one graph, and the loss over a vocabulary.

On a processor attention is written out (Transformers' `eager`): its softmax is fused with the mask, and its products run at the rate of any
other, which makes blocks of a few hundred tokens faster than the kernel behind `sdpa` does.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel

from .adaptation import layers

GRAPHS = 64  # of a layer: for each kind of it, shape of a batch, and with or without gradients; beyond these torch gives up


@contextmanager
def compiled(model: PreTrainedModel) -> Iterator[None]:
    """`model` compiled for batches of one shape, until the end.

    Layer by layer: a step takes as long as with the base as one graph, which takes a compiler as often as there are layers.
    """
    written_out = model.device.type == "cpu"
    given = model.config._attn_implementation
    if written_out:
        model.set_attn_implementation("eager")
    for layer in layers(model)[1]:
        layer.compile(dynamic=False)
    try:
        with torch._dynamo.config.patch(recompile_limit=GRAPHS):
            yield
    finally:
        for layer in layers(model)[1]:
            layer._compiled_call_impl = None
        model.set_attn_implementation(given)


def is_compiled(model: PreTrainedModel) -> bool:
    """Whether the layers of `model` are, so that its loss should be."""
    return layers(model)[1][0]._compiled_call_impl is not None
