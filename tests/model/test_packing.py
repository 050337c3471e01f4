import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from model.architectures import CHECKPOINTS
from model.backbone import DECODERS, ENCODERS, build
from model.packing import attention, causal_labels, pack, starts
from model.vocabulary import IGNORED, PAD

CONTEXT = 48
LENGTHS = (20, 5, 41, 9, 1, 12, 7)  # a document cut by the end of a block, one of a single token, padding at the end


def base(architecture: str) -> PreTrainedModel:
    model = built(architecture) if architecture in ENCODERS + DECODERS else configured(architecture)
    if architecture == "modernbert":
        model.config.local_attention = 16  # narrower than the documents
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(5 if weight.ndim > 1 else 1)  # so that tokens look at each other more than fresh weights let them
    return model.eval()


def configured(architecture: str) -> PreTrainedModel:
    """A small one of an architecture that only a checkpoint to go on from has."""
    sizes = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 48}
    ids = {"pad_token_id": PAD, "bos_token_id": 1, "eos_token_id": 1}
    config = AutoConfig.for_model(architecture, **sizes, **ids, num_key_value_heads=1, head_dim=16, max_position_embeddings=CONTEXT)
    torch.manual_seed(3)
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")


def built(architecture: str) -> PreTrainedModel:
    return build(
        architecture,
        vocab_size=64,
        context=CONTEXT,
        hidden_size=32,
        num_layers=4,  # the fourth layer of a ModernBERT sees everything, those before it a window
        num_heads=2,
        intermediate_size=48,
        dropout=0.0,
        seed=3,
    )


def blocks() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    documents = [torch.randint(6, 64, (length,), generator=random).tolist() for length in LENGTHS]
    tokens, indices = zip(*pack(documents, CONTEXT), strict=True)
    return torch.tensor(tokens), torch.tensor(indices)


@pytest.mark.parametrize("written", ["sdpa", "eager"])
@pytest.mark.parametrize("architecture", CHECKPOINTS)
@torch.no_grad()
def test_packed_logits_equal_those_of_each_document_alone(architecture: str, written: str) -> None:
    model, (tokens, documents) = base(architecture), blocks()
    model.set_attn_implementation(written)
    packed = model(input_ids=tokens, **attention(model.config, documents)).logits
    for row in range(len(tokens)):
        for document in range(int(documents[row].max()) + 1):
            at = documents[row] == document
            torch.testing.assert_close(packed[row, at], model(input_ids=tokens[row : row + 1, at]).logits[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", ENCODERS + DECODERS)
@torch.no_grad()
def test_a_document_is_blind_to_the_one_before_it(architecture: str) -> None:
    model, (tokens, documents) = base(architecture), blocks()
    other = torch.where(documents == 0, 6 + (tokens - 5) % 58, tokens)  # every token of the first documents is another one
    kept = documents > 0
    before, after = (model(input_ids=ids, **attention(model.config, documents)).logits[kept] for ids in (tokens, other))
    torch.testing.assert_close(before, after, rtol=0, atol=0)
    unmasked = [model(input_ids=ids).logits[kept] for ids in (tokens, other)]
    assert (unmasked[0] - unmasked[1]).abs().max() > 1e-2  # so it is the mask that keeps them apart


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(6, 60), min_size=1, max_size=30), min_size=1, max_size=12), st.integers(1, 16))
def test_packing_keeps_every_token_in_order_and_fills_all_blocks_but_the_last(documents: list[list[int]], context: int) -> None:
    packed = list(pack(documents, context))
    assert all(len(tokens) == len(indices) == context for tokens, indices in packed)
    assert all(-1 not in indices for _, indices in packed[:-1])
    kept = [token for tokens, indices in packed for token, index in zip(tokens, indices, strict=True) if index >= 0]
    assert kept == [token for document in documents for token in document]
    assert all(token == PAD for tokens, indices in packed for token, index in zip(tokens, indices, strict=True) if index < 0)


def test_documents_are_numbered_from_zero_in_each_block() -> None:
    assert [indices for _, indices in pack([[7] * 3, [8] * 2, [9] * 4], 4)] == [[0, 0, 0, 1], [0, 1, 1, 1], [0, -1, -1, -1]]


def test_a_document_of_no_tokens_leaves_no_trace() -> None:
    assert list(pack([[7], [], [8]], 2)) == [([7, 8], [0, 1])]


def test_nothing_predicts_a_documents_first_token_or_padding() -> None:
    documents = torch.tensor([[0, 0, 1, 1, 2, -1], [0, 0, 0, 0, 0, 0]])
    assert starts(documents).int().tolist() == [[1, 0, 1, 0, 1, 1], [1, 0, 0, 0, 0, 0]]
    assert causal_labels(torch.full((2, 6), 9), documents).tolist() == [
        [IGNORED, 9, IGNORED, 9, IGNORED, IGNORED],
        [IGNORED, 9, 9, 9, 9, 9],
    ]
