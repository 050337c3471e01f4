import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from model import checkpoints, training
from model.adaptation import add_adapters
from model.backbone import DECODERS, ENCODERS, build
from model.compilation import is_compiled
from model.errors import UserError
from model.losses import Batch, language_loss
from model.params import Lora
from model.training import train

from .tiny import PARAMS, Every, Killed, base, batch, packed, same, trained, validate


def test_the_loss_falls_and_the_history_says_how(tmp_path: Path) -> None:
    shown: list[int] = []
    _, history = trained(tmp_path, replace(PARAMS, max_steps=30, evaluate_every=10), log=lambda step, values: shown.append(step))
    assert history[-1]["loss"] < history[0]["loss"] - 0.2
    assert [entry["step"] for entry in history] == list(range(1, 31)) == shown
    assert [entry["step"] for entry in history if "validation_loss" in entry] == [10, 20, 30]
    assert all({"loss", "learning_rate", "gradient_norm"} <= set(entry) for entry in history)


def adapted() -> PreTrainedModel:
    model = base()
    torch.manual_seed(1)
    add_adapters(model, "decoder", Lora(rank=2, alpha=4.0, dropout=0.2, modules={"decoder": ["q_proj", "up_proj"]}), fresh=())
    return model


@pytest.mark.e2e
@pytest.mark.parametrize("moment", [2, 7, 11])
def test_adapters_that_were_interrupted_end_with_the_same_bytes_and_seals_hold_nothing_else(tmp_path: Path, moment: int) -> None:
    params = replace(PARAMS, layer_decay=0.7, ema_decay=0.9)
    weights, history = trained(tmp_path / "whole", params, adapted())

    def stop(done: int, total: int) -> None:
        if done == moment:
            raise Killed

    with pytest.raises(Killed):
        trained(tmp_path / "part", params, adapted(), progress=stop, sealed_every=2)
    tensors, state = checkpoints.newest(tmp_path / "part") or ({}, {"step": 0})
    assert state["step"] == moment - moment % 2
    assert tensors
    assert all("lora_" in name for name in tensors)
    resumed, again = trained(tmp_path / "part", params, adapted())
    assert same(weights, resumed)
    assert history == again


def test_a_rate_that_falls_with_depth_moves_the_embeddings_least(tmp_path: Path) -> None:
    params = replace(PARAMS, max_steps=1, evaluate_every=1, warmup_share=0.0, weight_decay=0.0)
    before = {name: weight.detach().clone() for name, weight in base().named_parameters()}
    moved = {}
    for layer_decay in (1.0, 0.5):
        weights, _ = trained(tmp_path / str(layer_decay), replace(params, layer_decay=layer_decay))
        moved[layer_decay] = {name: (weights[name] - before[name]).abs().max() for name in before}
    ratios = {name: float(moved[0.5][name] / moved[1.0][name]) for name in before}
    assert ratios["model.embed_tokens.weight"] == pytest.approx(0.25, rel=1e-3)
    assert ratios["model.layers.0.self_attn.q_proj.weight"] == pytest.approx(0.5, rel=1e-3)
    assert ratios["model.norm.weight"] == pytest.approx(1.0, rel=1e-3)


@pytest.mark.e2e
@pytest.mark.parametrize("ema_decay", [None, 0.9])
@pytest.mark.parametrize(("moment", "sealed_every"), [(2, 1), (19, 4), (21, 9), (23, 30), (24, 5)])
def test_a_training_that_was_interrupted_ends_with_the_same_bytes(
    tmp_path: Path, moment: int, sealed_every: int, ema_decay: float | None
) -> None:
    params = replace(PARAMS, max_steps=24, evaluate_every=20, ema_decay=ema_decay)  # an entry of the history each second step
    weights, history = trained(tmp_path / "whole", params)
    shown: list[int] = []

    def stop(done: int, total: int) -> None:
        if done == moment:
            raise Killed

    with pytest.raises(Killed):
        trained(tmp_path / "cut", params, progress=stop, sealed_every=sealed_every)
    torch.manual_seed(moment)  # the state of the generator does not matter
    resumed, again = trained(tmp_path / "cut", params, log=lambda step, values: shown.append(step))
    assert same(resumed, weights)
    assert again == history
    assert shown == [1, *range(2, 25, 2)]  # the curve has each step once, those before the checkpoint too


def test_a_checkpoint_of_another_training_is_not_gone_on_from(tmp_path: Path) -> None:
    faster = replace(PARAMS, learning_rate=0.02)
    weights, history = trained(tmp_path / "alone", faster)
    trained(tmp_path / "shared")
    after, again = trained(tmp_path / "shared", faster, sealed_every=5)
    assert same(after, weights)
    assert again == history
    assert sorted(path.name for path in (tmp_path / "shared").iterdir()) == ["step-00000005", "step-00000010"]


def test_a_damaged_checkpoint_costs_time_and_nothing_else(tmp_path: Path) -> None:
    weights, history = trained(tmp_path)
    (tmp_path / "step-00000012" / "tensors.safetensors").write_bytes(b"no tensors")
    (tmp_path / "step-00000011" / "MANIFEST.json").unlink()
    resumed, again = trained(tmp_path)
    assert same(resumed, weights)
    assert again == history


def test_dropout_differs_from_step_to_step_and_not_from_run_to_run(tmp_path: Path) -> None:
    constant = replace(PARAMS, learning_rate=1e-12, max_steps=3, evaluate_every=1, accumulation=1)
    losses = [[entry["loss"] for entry in trained(tmp_path / name, constant, base(0.5), lambda index: batch(0))[1]] for name in "ab"]
    assert losses[0] == losses[1]
    assert len(set(losses[0])) == 3


def test_accumulated_gradients_equal_those_of_the_large_batch(tmp_path: Path) -> None:
    def large(index: int) -> Batch:
        parts = [batch(2 * index), batch(2 * index + 1)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    counts = {int((batch(index)["labels"] != -100).sum()) for index in range(8)}
    assert len(counts) > 1  # so the mean of the means would be another number
    parts, small = trained(tmp_path / "small", replace(PARAMS, evaluate_every=1), base(0.0))
    at_once, whole = trained(tmp_path / "whole", replace(PARAMS, evaluate_every=1, accumulation=1), base(0.0), large)
    for one, other in zip(small, whole, strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    for name, weight in parts.items():
        torch.testing.assert_close(weight, at_once[name], rtol=1e-4, atol=1e-5)


def test_activations_computed_twice_give_the_same_bytes(tmp_path: Path) -> None:
    kept, history = trained(tmp_path / "kept", batch=packed)
    again, same_history = trained(tmp_path / "again", replace(PARAMS, gradient_checkpointing=True), batch=packed)
    assert same(again, kept)  # dropout is drawn alike, too
    assert same_history == history


@pytest.mark.parametrize("architecture", ENCODERS + DECODERS)
def test_every_architecture_can_compute_its_activations_twice(architecture: str) -> None:
    sizes = {"hidden_size": 16, "num_layers": 2, "num_heads": 2, "intermediate_size": 24}
    gradients, calls = [], []
    for twice in (False, True):
        model = build(architecture, vocab_size=32, context=16, dropout=0.1, seed=1, **sizes).train()
        if twice:
            model.activation_checkpointing_enable()
        module = next(module for name, module in model.named_modules() if name.endswith(("mlp", "intermediate")))
        called: list[int] = []
        module.register_forward_pre_hook(lambda *_, called=called: called.append(1))  # computing again may stop within
        torch.manual_seed(1)
        language_loss(model, packed(0))[0].backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None})
        calls.append(len(called))
    assert calls == [1, 2]
    assert same(*gradients)


def test_the_best_weights_are_the_ones_that_stay(tmp_path: Path) -> None:
    seen: list[dict[str, Tensor]] = []
    losses = iter([3.0, 1.0, 2.0, 2.5])

    def validate(model: PreTrainedModel) -> dict[str, float]:
        seen.append({name: weight.detach().clone() for name, weight in model.named_parameters()})
        return {"validation_loss": next(losses)}

    weights, _ = trained(tmp_path, validate=validate)
    assert same(weights, seen[1])
    assert not same(weights, seen[3])


def test_averaged_weights_are_what_is_validated_and_kept(tmp_path: Path) -> None:
    own, seen = list[Tensor](), list[Tensor]()

    def validate(model: PreTrainedModel) -> dict[str, float]:
        seen.append(model.get_input_embeddings().weight.detach().clone())
        return {"validation_loss": 1.0 / len(seen)}

    model = base()
    model.get_input_embeddings().register_forward_hook(lambda module, *_: own.append(module.weight.detach().clone()))
    params = replace(PARAMS, max_steps=4, evaluate_every=1, accumulation=1, ema_decay=0.7)
    weights, _ = trained(tmp_path, params, model, validate=validate)
    expected = own[0]  # seen by both passes that count memory, and by the first step
    for step, after in enumerate(own[3:], 1):  # the forward pass of a step sees the weights after the one before
        expected = torch.lerp(expected, after, 1 - min(0.7, (1 + step) / (10 + step)))
        torch.testing.assert_close(seen[step - 1], expected)
    assert torch.equal(weights["model.embed_tokens.weight"], seen[-1])


@pytest.mark.parametrize("interrupted", [False, True])
def test_training_stops_early_and_counts_across_an_interruption(tmp_path: Path, interrupted: bool) -> None:
    params = replace(PARAMS, max_steps=30, patience=3)
    losses = {3: 2.0, 6: 1.0, 9: 1.5, 12: 1.0, 15: 1.2, 18: 0.1}
    steps: list[int] = []

    def validate(model: PreTrainedModel) -> dict[str, float]:
        return {"validation_loss": losses[steps[-1] + 1]}

    def progress(done: int, total: int) -> None:
        steps.append(done)
        if interrupted and done == 13 and steps.count(13) == 1:
            raise Killed

    steps.append(0)
    if interrupted:
        with pytest.raises(Killed):
            trained(tmp_path, params, validate=validate, progress=progress)
        steps.append(12)
    _, history = trained(tmp_path, params, validate=validate, progress=progress)
    assert history[-1]["step"] == 15


def test_evaluation_sees_no_dropout_and_makes_no_gradients(tmp_path: Path) -> None:
    def validate(model: PreTrainedModel) -> dict[str, float]:
        assert not model.training
        assert not torch.is_grad_enabled()
        return {"validation_loss": 1.0}

    trained(tmp_path, validate=validate)


def test_a_loss_that_is_not_finite_is_one_line_with_the_step(tmp_path: Path) -> None:
    model = base()
    with torch.no_grad():
        model.get_output_embeddings().weight[0, 0] = math.nan
    expected = r"^training: the loss is nan and the gradient's norm nan at step 1, on micro-batch 0, micro-batch 1; "
    with pytest.raises(UserError, match=expected + r"lower learning_rate \(no checkpoint was sealed yet\)$"):
        trained(tmp_path, model=model)


def test_a_loss_that_is_not_finite_names_where_its_batch_comes_from_and_the_last_good_checkpoint(tmp_path: Path) -> None:
    def overflowing(model: PreTrainedModel, batch: Batch) -> tuple[Tensor, Tensor]:
        total, count = language_loss(model, batch)
        return (total * math.inf if batch["input_ids"].equal(bad) else total), count

    bad, told = batch(13)["input_ids"], list[int]()

    def sources(index: int) -> str:
        told.append(index)
        return f"the letters of {index}"

    arguments = {"batch": batch, "validate": validate, "loss": overflowing, "params": PARAMS, "checkpoints": tmp_path}
    silent = {"log": lambda step, values: None, "progress": lambda done, total: None}
    with pytest.raises(UserError) as raised:
        train(base(), **arguments, **silent, sources=sources, rhythm=Every(1))
    assert str(raised.value) == (
        "training: the loss is inf and the gradient's norm nan at step 7, on the letters of 13; "
        f"lower learning_rate (the last good checkpoint is {tmp_path}/step-00000006)"
    )
    assert told == [13]  # 12 is of the same step, and its loss was finite


def test_a_gradient_that_is_not_finite_stops_too(tmp_path: Path) -> None:
    model = base()
    model.get_output_embeddings().weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(
        UserError, match=r"^training: the loss is 3\.\d+ and the gradient's norm (inf|nan) at step 1, on micro-batch 0, micro"
    ):
        trained(tmp_path, model=model)


def test_a_validation_loss_that_is_not_finite_is_one_line_with_the_step(tmp_path: Path) -> None:
    expected = r"^training: the validation loss is inf at step 3; lower learning_rate \(the last good checkpoint is .*step-00000002\)$"
    with pytest.raises(UserError, match=expected):
        trained(tmp_path, validate=lambda model: {"validation_loss": math.inf})


def test_compiling_without_a_compiler_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"training.compile: no C\+\+ compiler \(.*\) on PATH; install one, set it to false, or slower"):
        trained(tmp_path, replace(PARAMS, compile=True))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_a_compiled_model_trains_like_an_interpreted_one(tmp_path: Path) -> None:
    histories = []
    for compiled in (False, True):
        model = base(0.0)
        _, history = trained(tmp_path / str(compiled), replace(PARAMS, max_steps=3, compile=compiled), model, packed)
        histories.append([entry["loss"] for entry in history])
    assert histories[0] == pytest.approx(histories[1], rel=1e-4)
    assert not is_compiled(model)
    assert model.config._attn_implementation == "sdpa"


def test_bfloat16_trains_too_and_keeps_float32_weights(tmp_path: Path) -> None:
    weights, history = trained(tmp_path, replace(PARAMS, precision="bfloat16", max_steps=3, slower_allowed=True))
    assert all(weight.dtype == torch.float32 for weight in weights.values())
    assert history[0]["loss"] == pytest.approx(math.log(32), abs=0.3)


def test_norms_and_biases_do_not_decay(tmp_path: Path) -> None:
    only_decay = replace(PARAMS, max_steps=1, evaluate_every=1, warmup_share=0.0, schedule="constant", weight_decay=1.0)
    without = {**batch(0), "labels": torch.full((3, 12), -100)}  # no label, no gradient
    before = {name: weight.detach().clone() for name, weight in base().named_parameters()}
    after, _ = trained(tmp_path, only_decay, batch=lambda index: without)
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight * (0.99 if weight.ndim > 1 else 1.0))


@pytest.mark.parametrize("architecture", ENCODERS + DECODERS)
def test_what_does_not_decay_is_norms_and_biases_by_their_names(architecture: str, tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 24}
    run = training._Run(build(architecture, vocab_size=32, context=16, dropout=0.0, seed=1, **sizes), PARAMS, tmp_path, "")
    names = {parameter: name for name, parameter in run.model.named_parameters()}
    groups = run.optimizer.param_groups
    free = {names[parameter] for group in groups if group["weight_decay"] == 0 for parameter in group["params"]}
    norms = {name for name in names.values() if re.search(r"norm|\bln_", name, re.IGNORECASE)}
    assert free == norms | {name for name in names.values() if name.endswith("bias")}
    assert {group["weight_decay"] for group in groups} == {0.0, 0.1}
    assert sum(len(group["params"]) for group in groups) == len(names)


@pytest.mark.e2e
def test_the_tutorials_bert_is_a_config_away_and_trains_a_step(tmp_path: Path) -> None:
    model = build(
        "bert",
        vocab_size=10_000,
        context=512,
        hidden_size=768,
        num_layers=12,
        num_heads=12,
        intermediate_size=3072,
        dropout=0.1,
        seed=1,
    )
    config = model.config
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (12, 768, 12)
    assert (config.vocab_size, config.pad_token_id, config.model_type) == (10_000, 0, "bert")
    before = model.bert.encoder.layer[11].output.dense.weight.detach().clone()
    run = training._Run(model, replace(PARAMS, max_steps=1), tmp_path, "")  # whose checkpoint would be more than a gigabyte
    run.update(1, [batch(0, rows=1)], language_loss, str)
    assert run.total / run.count == pytest.approx(math.log(10_000), abs=1.0)
    assert not torch.equal(model.bert.encoder.layer[11].output.dense.weight, before)
