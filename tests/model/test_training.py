import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from model import training
from model.backbone import build
from model.errors import UserError
from model.losses import Batch, language_loss, mean_loss
from model.params import Training
from model.training import History, learning_rate, shuffled, train

ROOT = Path(__file__).parents[2]
PARAMS = Training(
    max_steps=12,
    batch_size=3,
    accumulation=2,
    learning_rate=0.01,
    schedule="cosine",
    warmup_share=0.25,
    weight_decay=0.1,
    gradient_clip=1.0,
    evaluate_every=3,
    patience=9,
    precision="float32",
    compile=False,
    seed=5,
    num_threads=1,
)


class Killed(BaseException):
    """Stands for whatever ends a process."""


def base(dropout: float = 0.1) -> PreTrainedModel:
    sizes = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 24}
    return build("llama", vocab_size=32, context=16, dropout=dropout, seed=1, **sizes)


def batch(index: int, rows: int = 3) -> Batch:
    first = np.random.default_rng(index).integers(0, 26, (rows, 1))
    tokens = torch.from_numpy((first + 3 * np.arange(12)) % 26 + 6)
    return {"input_ids": tokens, "labels": tokens.masked_fill(tokens % 5 == index % 5, -100)}  # as many labels as it happens


def validate(model: PreTrainedModel) -> dict[str, float]:
    return {"validation_loss": mean_loss(model, [batch(-1 % 1000)], language_loss)}


def trained(
    folder: Path,
    params: Training = PARAMS,
    model: PreTrainedModel | None = None,
    batch: Callable[[int], Batch] = batch,
    validate: Callable[[PreTrainedModel], dict[str, float]] = validate,
    log: Callable[[int, object], None] = lambda step, values: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[dict[str, Tensor], History]:
    model = model or base()
    history = train(
        model,
        batch=batch,
        validate=validate,
        loss=language_loss,
        params=params,
        checkpoints=folder,
        log=log,
        progress=progress,
    )
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}, history


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def test_the_loss_falls_and_the_history_says_how(tmp_path: Path) -> None:
    shown: list[int] = []
    _, history = trained(tmp_path, replace(PARAMS, max_steps=30, evaluate_every=10), log=lambda step, values: shown.append(step))
    assert history[-1]["loss"] < history[0]["loss"] - 0.2
    assert [entry["step"] for entry in history] == list(range(1, 31)) == shown
    assert [entry["step"] for entry in history if "validation_loss" in entry] == [10, 20, 30]
    assert all({"loss", "learning_rate", "gradient_norm"} <= set(entry) for entry in history)


@pytest.mark.parametrize("moment", [2, 6, 11, 12])
def test_a_training_that_was_interrupted_ends_with_the_same_bytes(tmp_path: Path, moment: int) -> None:
    weights, history = trained(tmp_path / "whole")
    shown: list[int] = []

    def stop(done: int, total: int) -> None:
        if done == moment:
            raise Killed

    with pytest.raises(Killed):
        trained(tmp_path / "cut", progress=stop)
    torch.manual_seed(moment)  # the state of the generator does not matter
    resumed, again = trained(tmp_path / "cut", log=lambda step, values: shown.append(step))
    assert same(resumed, weights)
    assert again == history
    assert shown == list(range(moment // 3 * 3 + 1, 13))  # nothing up to the checkpoint is shown twice


@pytest.mark.e2e
def test_a_training_killed_with_sigkill_ends_with_the_same_bytes(tmp_path: Path) -> None:
    script = f"""
import importlib.util, os, pathlib, signal, sys
spec = importlib.util.spec_from_file_location("tests_of_training", {str(Path(__file__))!r})
tests = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tests)
def progress(done, total):
    if done == 8:
        os.kill(os.getpid(), signal.SIGKILL)
tests.trained(pathlib.Path({str(tmp_path / "cut")!r}), progress=progress)
"""
    killed = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert sorted(path.name for path in (tmp_path / "cut").iterdir()) == ["step-00000003", "step-00000006"]
    weights, history = trained(tmp_path / "whole")
    resumed, again = trained(tmp_path / "cut")
    assert same(resumed, weights)
    assert again == history


def test_a_checkpoint_of_another_training_is_not_gone_on_from(tmp_path: Path) -> None:
    faster = replace(PARAMS, learning_rate=0.02)
    weights, history = trained(tmp_path / "alone", faster)
    trained(tmp_path / "shared")
    after, again = trained(tmp_path / "shared", faster)
    assert same(after, weights)
    assert again == history


def test_a_damaged_checkpoint_costs_time_and_nothing_else(tmp_path: Path) -> None:
    weights, history = trained(tmp_path)
    (tmp_path / "step-00000012" / "tensors.safetensors").write_bytes(b"no tensors")
    (tmp_path / "step-00000009" / "MANIFEST.json").unlink()
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
    _, small = trained(tmp_path / "small", replace(PARAMS, evaluate_every=1), base(0.0))
    _, whole = trained(tmp_path / "whole", replace(PARAMS, evaluate_every=1, accumulation=1), base(0.0), large)
    for one, other in zip(small, whole, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_the_best_weights_are_the_ones_that_stay(tmp_path: Path) -> None:
    seen: list[dict[str, Tensor]] = []
    losses = iter([3.0, 1.0, 2.0, 2.5])

    def validate(model: PreTrainedModel) -> dict[str, float]:
        seen.append({name: weight.detach().clone() for name, weight in model.named_parameters()})
        return {"validation_loss": next(losses)}

    weights, _ = trained(tmp_path, validate=validate)
    assert same(weights, seen[1])
    assert not same(weights, seen[3])


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
    with pytest.raises(UserError, match=r"^training: the loss is nan .* at step 1; lower learning_rate$"):
        trained(tmp_path, model=model)


def test_a_validation_loss_that_is_not_finite_is_one_line_with_the_step(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^training: the validation loss is inf at step 3; lower learning_rate$"):
        trained(tmp_path, validate=lambda model: {"validation_loss": math.inf})


def test_compiling_without_a_compiler_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"training.compile: no C\+\+ compiler \(.*\) on PATH; install one, or set it to false"):
        trained(tmp_path, replace(PARAMS, compile=True))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_a_compiled_model_trains_like_an_interpreted_one(tmp_path: Path) -> None:
    def packed(index: int) -> Batch:
        return {**batch(index), "documents": torch.tensor([[0] * 5 + [1] * 7] * 3)}

    histories = []
    for compiled in (False, True):
        _, history = trained(tmp_path / str(compiled), replace(PARAMS, max_steps=3, compile=compiled), base(0.0), packed)
        histories.append([entry["loss"] for entry in history])
    assert histories[0] == pytest.approx(histories[1], rel=1e-4)


def test_bfloat16_trains_too_and_keeps_float32_weights(tmp_path: Path) -> None:
    weights, history = trained(tmp_path, replace(PARAMS, precision="bfloat16", max_steps=3))
    assert all(weight.dtype == torch.float32 for weight in weights.values())
    assert history[0]["loss"] == pytest.approx(math.log(32), abs=0.3)


def test_norms_and_biases_do_not_decay(tmp_path: Path) -> None:
    only_decay = replace(PARAMS, max_steps=1, evaluate_every=1, warmup_share=0.0, schedule="constant", weight_decay=1.0)
    without = {**batch(0), "labels": torch.full((3, 12), -100)}  # no label, no gradient
    before = {name: weight.detach().clone() for name, weight in base().named_parameters()}
    after, _ = trained(tmp_path, only_decay, batch=lambda index: without)
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight * (0.99 if weight.ndim > 1 else 1.0))


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("cosine", [0.5, 1, 1, 0.8536, 0.5, 0.1464]),
        ("linear", [0.5, 1, 1, 0.75, 0.5, 0.25]),
        ("constant", [0.5, 1, 1, 1, 1, 1]),
    ],
)
def test_the_rate_rises_to_its_peak_and_follows_its_schedule(schedule: str, rates: list[float]) -> None:
    params = replace(PARAMS, max_steps=6, warmup_share=1 / 3, learning_rate=1.0, schedule=schedule)
    assert [learning_rate(step, params) for step in range(1, 7)] == pytest.approx(rates, abs=1e-4)


def test_each_epoch_has_every_item_once_in_an_order_of_its_own() -> None:
    items = shuffled(10, 4, seed=1)
    drawn = [item for index in range(5) for item in items(index)]
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))
    assert drawn[:10] != drawn[10:]
    assert items(3) == shuffled(10, 4, seed=1)(3) != shuffled(10, 4, seed=2)(3)


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
    total, count, _ = run.update(1, [batch(0, rows=1)], language_loss)
    assert total / count == pytest.approx(math.log(10_000), abs=1.0)
    assert not torch.equal(model.bert.encoder.layer[11].output.dense.weight, before)
