"""Trainings on two processes over gloo, beside those on one."""

import json
import math
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
import torch.multiprocessing
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from model import checkpoints, parallel
from model.adaptation import add_adapters, freeze
from model.errors import UserError
from model.losses import Loss, labelled_logits, language_loss
from model.params import Lora, Training
from model.r_drop import r_drop
from model.training import History

from .tiny import PARAMS, Killed, base, same, trained, validate

pytestmark = pytest.mark.timeout(900)

WHOLE = replace(PARAMS, num_processes=2, max_steps=6)
PARTS = replace(WHOLE, sharded=True)
RICH = {"ema_decay": 0.9, "layer_decay": 0.7, "gradient_checkpointing": True, "accumulation": 4}
LORA = Lora(rank=2, alpha=4.0, dropout=0.2, modules={"decoder": ["q_proj", "up_proj"]})
MOMENT, SEALED_EVERY = 5, 2  # of an interruption: it goes on from step 4


def sure() -> PreTrainedModel:
    return base(0.0)


def frozen() -> PreTrainedModel:
    model = sure()
    freeze(model, 1)
    return model


def adapted() -> PreTrainedModel:
    model = base()
    torch.manual_seed(1)
    add_adapters(model, "decoder", LORA, fresh=())
    return model


@dataclass(frozen=True)
class Case:
    """A training; the checkpoints, weights and histories that it leaves are under its name."""

    params: Training
    model: Callable[[], PreTrainedModel] = base
    loss: Loss = language_loss


ALIKE = {  # nothing is drawn: on two processes as on one
    "whole": Case(WHOLE, sure),
    "parts": Case(PARTS, sure),
    "whole rich": Case(replace(WHOLE, **RICH), sure),
    "parts rich": Case(replace(PARTS, **RICH), sure),
    "parts frozen": Case(PARTS, frozen),
}
DRAWN = {  # with dropout: interrupted as undisturbed
    "whole drawn": Case(replace(WHOLE, **RICH)),
    "parts drawn": Case(replace(PARTS, **RICH)),
    "parts adapted": Case(PARTS, adapted),
    "whole twice": Case(WHOLE, loss=r_drop(labelled_logits, 0.5, 0.0)),
}


def train_all(rank: int, port: int, folder: Path) -> None:
    """Every training of this file on one pair of processes, which take seconds to start."""
    listening = None if rank else socket.create_server(("127.0.0.1", port)).detach()
    parallel.join(rank, 2, port, listening)
    for name, case in {**ALIKE, **DRAWN}.items():
        keep(folder, f"{name} {rank}", *trained(folder / name, case.params, case.model(), loss=case.loss, sealed_every=SEALED_EVERY))
    for name, case in DRAWN.items():
        cut = folder / f"{name} cut"
        try:
            trained(cut, case.params, case.model(), loss=case.loss, sealed_every=SEALED_EVERY, progress=stop)
        except Killed:
            torch.manual_seed(rank)  # the state of the generator does not matter
            keep(folder, f"{name} cut {rank}", *trained(cut, case.params, case.model(), loss=case.loss, sealed_every=99))
    losses = iter([3.0, 1.0, 2.0, 2.0] if rank == 0 else [3.0, 2.0, 1.0, 0.0])
    early = replace(WHOLE, max_steps=30, evaluate_every=2, patience=2)
    keep(folder, f"early {rank}", *trained(folder / "early", early, validate=lambda model: {"validation_loss": next(losses)}))
    for params in (WHOLE, PARTS):
        try:
            trained(folder / "broken", params, loss=broken)
        except UserError as error:
            (folder / f"broken {params.sharded} {rank}").write_text(str(error))
    parallel.leave()


def stop(done: int, total: int) -> None:
    if done == MOMENT:
        raise Killed


def broken(model: PreTrainedModel, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """On rank 1 alone."""
    total, count = language_loss(model, batch)
    return total * (math.inf if parallel.rank() else 1.0), count


def keep(folder: Path, name: str, weights: dict[str, Tensor], history: History) -> None:
    save_file({name: weight.contiguous() for name, weight in weights.items()}, folder / f"{name}.safetensors")
    (folder / f"{name}.json").write_text(json.dumps(history))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    torch.multiprocessing.spawn(train_all, (port, folder), nprocs=2)
    return folder


def left(folder: Path, name: str) -> tuple[dict[str, Tensor], History]:
    return load_file(folder / f"{name} 0.safetensors"), json.loads((folder / f"{name} 0.json").read_text())


@pytest.mark.e2e
@pytest.mark.parametrize("name", ALIKE)
def test_two_processes_come_to_what_one_does(name: str, two: Path, tmp_path: Path) -> None:
    case = ALIKE[name]
    expected, curve = trained(tmp_path, replace(case.params, num_processes=1, sharded=False), case.model(), sealed_every=SEALED_EVERY)
    weights, history = left(two, name)
    for one, other in zip(curve, history, strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    for key, weight in expected.items():
        torch.testing.assert_close(weights[key], weight, rtol=1e-4, atol=1e-5)
    (sealed, _), (ours, _) = (checkpoints.newest(folder) or ({}, {}) for folder in (tmp_path, two / name))
    assert {key: tensor.shape for key, tensor in ours.items()} == {key: tensor.shape for key, tensor in sealed.items()}


@pytest.mark.e2e
@pytest.mark.parametrize("name", DRAWN)
def test_interrupted_on_two_processes_as_undisturbed_to_the_byte(name: str, two: Path) -> None:
    (weights, history), (again, curve) = left(two, name), left(two, f"{name} cut")
    assert same(weights, again)
    assert history == curve


@pytest.mark.e2e
def test_what_dropout_draws_differs_between_processes(two: Path) -> None:
    whole, parts = left(two, "whole drawn")[1], left(two, "parts drawn")[1]
    assert [entry["loss"] for entry in whole] == pytest.approx([entry["loss"] for entry in parts], rel=1e-5)
    alike = left(two, "whole rich")[1]
    assert whole[0]["loss"] != pytest.approx(alike[0]["loss"], rel=1e-5)


@pytest.mark.e2e
def test_both_processes_stop_early_where_rank_0_says(two: Path) -> None:
    curves = [json.loads((two / f"early {rank}.json").read_text()) for rank in (0, 1)]
    assert curves[0] == curves[1]
    assert curves[0][-1]["step"] == 8


@pytest.mark.e2e
@pytest.mark.parametrize("sharded", [False, True])
def test_a_loss_that_is_not_finite_on_one_process_is_one_line_on_both(sharded: bool, two: Path) -> None:
    said = [(two / f"broken {sharded} {rank}").read_text() for rank in (0, 1)]
    expected = "training: the loss is inf and the gradient's norm nan at step 1, on micro-batch 1; lower learning_rate (no checkpoint"
    assert said[0] == said[1]
    assert said[0].startswith(expected)


@pytest.mark.parametrize(
    ("numbers", "line"),
    [
        ({"num_processes": 2, "accumulation": 3}, "accumulation 3 is no multiple of num_processes 2, which share a step's batches; change"),
        ({"sharded": True}, "sharded divides the model among processes, and num_processes is 1; raise it, or set sharded to false"),
        ({"num_processes": 2, "sharded": True, "compile": True}, "sharded does not go with compile; set one of them to false"),
    ],
)
def test_numbers_that_do_not_go_together_are_one_line(numbers: dict[str, int], line: str) -> None:
    with pytest.raises(ValueError, match=f"^{line}"):
        replace(PARAMS, **numbers)


def test_fewer_processes_than_params_ask_for_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^params.yaml: training.num_processes: 2, and this training was started on 1; start the stage by"):
        trained(tmp_path, WHOLE, validate=validate)
