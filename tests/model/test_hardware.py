import shutil
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from model import hardware
from model.backbone import build
from model.errors import UserError
from model.losses import Batch, language_loss

from .tiny import PARAMS

TOKENS = torch.randint(6, 500, (4, 64), generator=torch.Generator().manual_seed(0))


def base(architecture: str) -> PreTrainedModel:
    sizes = {"hidden_size": 64, "num_layers": 3, "num_heads": 2, "intermediate_size": 128, "dropout": 0.0}
    return build(architecture, vocab_size=500, context=64, seed=1, **sizes)


def batch(share: int = 1) -> Batch:
    return {"input_ids": TOKENS, "labels": TOKENS.where(TOKENS % share == 0, -100), "documents": torch.zeros_like(TOKENS)}


@pytest.mark.parametrize(
    ("gain", "said"), [(0.0, "has no instructions for bfloat16"), (0.53, "multiplies bfloat16 at 0.53 times the rate of float32")]
)
def test_bfloat16_that_does_not_pay_is_one_line_unless_slower_is_allowed(gain: float, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "bfloat16_gain", lambda: gain)
    with pytest.raises(UserError, match=f"^params.yaml: training.precision: this machine {said}; set it to float32, or slower_allowed"):
        hardware.check(replace(PARAMS, precision="bfloat16"))
    hardware.check(replace(PARAMS, precision="bfloat16", slower_allowed=True))


def test_bfloat16_that_pays_is_used_and_the_gain_is_that_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hardware.bfloat16_gain() >= 0
    monkeypatch.setattr(hardware, "bfloat16_gain", lambda: 1.9)
    hardware.check(replace(PARAMS, precision="bfloat16"))


def test_compiling_without_a_compiler_is_refused_unless_slower_is_allowed(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not hardware.has_compiler()
    with pytest.raises(UserError, match=r"^params.yaml: training.compile: no C\+\+ compiler"):
        hardware.check(replace(PARAMS, compile=True))
    hardware.check(replace(PARAMS, compile=True, slower_allowed=True))


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_a_compiler_on_the_path_is_found() -> None:
    hardware.check(replace(PARAMS, compile=True))


@pytest.mark.parametrize(("architecture", "share"), [("llama", 1), ("gpt2", 1), ("bert", 5), ("modernbert", 5)])
def test_the_operations_are_those_that_torch_counts(architecture: str, share: int) -> None:
    model = base(architecture)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        language_loss(model, batch(share))[0].backward()
    meter = hardware.Meter(model, "float32")
    meter.add([batch(share)])
    assert meter.operations == pytest.approx(counted.get_total_flops(), rel=0.1)


def test_only_a_documents_own_tokens_count() -> None:
    meter = hardware.Meter(base("llama"), "float32")
    documents = torch.zeros_like(TOKENS)
    documents[0, 10:] = -1
    meter.add([{**batch(), "documents": documents}, {"input_ids": TOKENS, "labels": TOKENS, "attention_mask": (TOKENS % 2)}])
    assert meter.tokens == 4 * 64 - 54 + int((TOKENS % 2).sum())
    values = meter.read()
    assert set(values) == {"tokens_per_second", "model_flop_utilisation", "peak_memory_bytes"}
    assert all(value > 0 for value in values.values())
    assert meter.read()["tokens_per_second"] == 0
