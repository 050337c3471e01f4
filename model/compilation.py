"""What `torch.compile` takes over in a training: the base as one graph, and the loss over a vocabulary.

On a processor attention is written out (Transformers' `eager`): its softmax is fused with the mask, and its products run at the rate of any
other, which makes blocks of a few hundred tokens faster than the kernel behind `sdpa` does.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import PreTrainedModel


@contextmanager
def compiled(model: PreTrainedModel) -> Iterator[None]:
    """`model` compiled for batches of one shape, until the end."""
    written_out = model.device.type == "cpu"
    given = model.config._attn_implementation
    if written_out:
        model.set_attn_implementation("eager")
    model.base_model.compile(dynamic=False)
    try:
        yield
    finally:
        model.base_model._compiled_call_impl = None
        model.set_attn_implementation(given)


def is_compiled(model: PreTrainedModel) -> bool:
    """Whether the base of `model` is, so that its loss should be."""
    return model.base_model._compiled_call_impl is not None
