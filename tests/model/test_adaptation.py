"""What is trained and how fast, on small models of each architecture."""

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from model import architectures
from model.adaptation import add_adapters, depths, freeze, merge_adapters, rate_scales
from model.architectures import DECODERS, ENCODERS
from model.backbone import build
from model.params import Lora

SIZES = {"hidden_size": 16, "num_layers": 3, "num_heads": 2, "intermediate_size": 24}
MODULES = {
    "bert": ["query", "dense"],
    "roberta": ["value"],
    "modernbert": ["Wqkv"],
    "gpt2": ["c_attn", "c_proj"],
    "llama": ["q_proj", "down_proj"],
}


def base(architecture: str) -> PreTrainedModel:
    return build(architecture, vocab_size=32, context=16, dropout=0.0, seed=1, **SIZES).eval()


def logits(model: PreTrainedModel) -> Tensor:
    with torch.no_grad():
        return model(input_ids=torch.arange(6, 18)[None]).logits


@pytest.mark.parametrize("architecture", ENCODERS + DECODERS)
def test_the_modules_that_are_known_before_there_is_a_base_are_those_that_it_has(architecture: str) -> None:
    found = {
        name.rpartition(".")[2] for name, module in base(architecture).base_model.named_modules() if isinstance(module, nn.Linear | Conv1D)
    }
    assert found == set(architectures.MODULES[architecture])
    assert architectures.MODULES.keys() == set(architectures.CHECKPOINTS)


@pytest.mark.parametrize("architecture", ENCODERS + DECODERS)
def test_depth_rises_from_the_embeddings_through_the_layers_to_the_head(architecture: str) -> None:
    model = base(architecture)
    found = depths(model)
    assert set(found.values()) == {0, 1, 2, 3, 4}
    assert found.keys() == {name for name, _ in model.named_parameters()}
    assert {depth for name, depth in found.items() if "embed" in name or "wte" in name or "wpe" in name} == {0}
    assert all(f".{depth - 1}." in name for name, depth in found.items() if 0 < depth < 4)
    assert all(".0." not in name and ".1." not in name and ".2." not in name for name, depth in found.items() if depth in (0, 4))


def test_the_rate_falls_by_one_factor_for_each_layer_further_from_the_head() -> None:
    scales = rate_scales(base("bert"), 0.5)
    assert scales["bert.embeddings.word_embeddings.weight"] == 0.5**4
    assert scales["bert.encoder.layer.0.output.dense.bias"] == 0.5**3
    assert scales["bert.encoder.layer.2.output.dense.bias"] == 0.5
    assert scales["cls.predictions.bias"] == 1.0
    assert set(rate_scales(base("llama"), 1.0).values()) == {1.0}


@pytest.mark.parametrize("architecture", ENCODERS + DECODERS)
def test_freezing_leaves_the_layers_above_to_be_trained(architecture: str) -> None:
    model = base(architecture)
    freeze(model, 0)
    assert all(parameter.requires_grad for parameter in model.parameters())
    freeze(model, 2)
    assert {depths(model)[name] for name, parameter in model.named_parameters() if parameter.requires_grad} == {3, 4}


@pytest.mark.parametrize("architecture", ENCODERS + DECODERS)
def test_merged_adapters_compute_what_the_adapters_did_and_leave_a_plain_model(architecture: str) -> None:
    model = base(architecture)
    names, plain = [name for name, _ in model.named_parameters()], logits(model)
    torch.manual_seed(1)
    add_adapters(model, "mine", Lora(rank=2, alpha=8.0, dropout=0.5, modules={"mine": MODULES[architecture]}), fresh=())
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)
    assert torch.equal(logits(model.eval()), plain)
    with torch.no_grad():
        for name in trained:
            model.get_parameter(name).normal_(std=0.3)
    adapted = logits(model)
    assert (adapted - plain).abs().max() > 1e-3
    merge_adapters(model)
    assert [name for name, _ in model.named_parameters()] == names
    torch.testing.assert_close(logits(model), adapted, rtol=1e-4, atol=1e-5)


def test_a_base_that_is_not_named_is_trained_whole() -> None:
    model = base("llama")
    add_adapters(model, "decoder", Lora(rank=2, alpha=8.0, dropout=0.0, modules={"encoder": ["query"]}), fresh=())
    assert all(parameter.requires_grad for parameter in model.parameters())
