import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, PreTrainedModel

from model.backbone import DECODERS, ENCODERS, build, head, is_decoder
from model.errors import UserError
from model.vocabulary import CLS, END, MASK, PAD, SEP

SIZES = {"vocab_size": 64, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "intermediate_size": 48, "dropout": 0.0}
TOKENS = torch.arange(6, 26)[None]


def base(architecture: str, **changes: float) -> PreTrainedModel:
    return build(architecture, **{"context": 24, "seed": 1, **SIZES, **changes}).eval()


@pytest.mark.parametrize("architecture", ENCODERS + DECODERS)
@torch.no_grad()
def test_a_checkpoint_loads_anywhere_and_says_the_same(architecture: str, tmp_path: Path) -> None:
    model = base(architecture)
    model.save_pretrained(tmp_path)
    auto = AutoModelForCausalLM if is_decoder(model.config) else AutoModelForMaskedLM
    again = auto.from_pretrained(tmp_path)
    assert type(again).__module__.startswith("transformers.")
    torch.testing.assert_close(again(input_ids=TOKENS).logits, model(input_ids=TOKENS).logits, rtol=0, atol=0)


@pytest.mark.parametrize("architecture", ENCODERS + DECODERS)
@torch.no_grad()
def test_the_head_is_the_one_that_the_model_itself_uses(architecture: str) -> None:
    model = base(architecture)
    hidden = model.base_model(input_ids=TOKENS).last_hidden_state
    torch.testing.assert_close(head(model, hidden), model(input_ids=TOKENS).logits, rtol=0, atol=0)


@pytest.mark.parametrize("architecture", ENCODERS + DECODERS)
@torch.no_grad()
def test_a_sequence_may_be_as_long_as_the_context(architecture: str) -> None:
    assert base(architecture)(input_ids=torch.full((1, 24), 7)).logits.isfinite().all()


@pytest.mark.parametrize("architecture", ENCODERS + DECODERS)
def test_the_special_tokens_and_the_tied_embeddings_are_in_the_config(architecture: str) -> None:
    model = base(architecture)
    config = model.config
    assert config.pad_token_id == PAD
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert config._attn_implementation == "sdpa"
    if is_decoder(config):
        assert (config.bos_token_id, config.eos_token_id) == (END, END)
        assert (model.generation_config.eos_token_id, model.generation_config.pad_token_id) == (END, PAD)
    else:
        assert (config.cls_token_id, config.sep_token_id, config.mask_token_id) == (CLS, SEP, MASK)


@pytest.mark.parametrize("architecture", ENCODERS + DECODERS)
def test_the_seed_decides_the_weights(architecture: str) -> None:
    first, same, other = (base(architecture, seed=seed).get_input_embeddings().weight for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@torch.no_grad()
def test_an_encoders_attention_is_softmax_of_qk_over_root_dk_times_v() -> None:
    model = base("bert")
    layer = model.bert.encoder.layer[0].attention.self
    hidden, seen = watch(model, layer)
    query, key, value = (heads(linear(hidden)) for linear in (layer.query, layer.key, layer.value))
    torch.testing.assert_close(seen, by_hand(query, key, value, torch.ones(20, 20, dtype=torch.bool)))


@torch.no_grad()
def test_a_decoders_attention_is_the_same_over_what_came_before() -> None:
    model = base("gpt2")
    layer = model.transformer.h[0].attn
    hidden, seen = watch(model, layer)
    query, key, value = (heads(part) for part in layer.c_attn(hidden).split(32, dim=-1))
    torch.testing.assert_close(seen, layer.c_proj(by_hand(query, key, value, torch.ones(20, 20, dtype=torch.bool).tril())))


def watch(model: PreTrainedModel, layer: torch.nn.Module) -> tuple[Tensor, Tensor]:
    """What goes into `layer` and what comes out of it."""
    seen: list[tuple[Tensor, Tensor]] = []
    handle = layer.register_forward_hook(lambda _, inputs, outputs: seen.append((inputs[0], outputs[0])))
    model(input_ids=TOKENS)
    handle.remove()
    return seen[0]


def heads(hidden: Tensor) -> Tensor:
    return hidden.view(1, 20, 4, 8).transpose(1, 2)


def by_hand(query: Tensor, key: Tensor, value: Tensor, visible: Tensor) -> Tensor:
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) / math.sqrt(8)
    weights = scores.exp() * visible
    weights = weights / weights.sum(dim=-1, keepdim=True)
    return torch.einsum("bhqk,bhkd->bqhd", weights, value).reshape(1, 20, 32)


def test_an_unknown_architecture_is_named_with_those_there_are() -> None:
    with pytest.raises(UserError, match="architecture: 'rnn' is unknown; there is bert, roberta, modernbert, gpt2, llama"):
        base("rnn")


def test_heads_that_do_not_divide_the_hidden_size_are_named() -> None:
    with pytest.raises(UserError, match="num_heads: 5 does not divide hidden_size 32; change one of them"):
        base("bert", num_heads=5)
