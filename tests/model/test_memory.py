import gc
from pathlib import Path

import pytest
import torch

from model import memory
from model.errors import UserError
from model.losses import language_loss

from .test_hardware import base, batch

CPU = torch.device("cpu")


def test_what_grows_with_the_batch_is_its_activations() -> None:
    model = base("llama")
    rows = [{name: value[:count] for name, value in batch().items()} for count in (4, 2)]
    whole, half = (memory.predict(model, some, language_loss, averaged=False) for some in rows)
    assert whole.states == half.states == 16 * model.num_parameters()
    assert whole.activations == pytest.approx(2 * half.activations, rel=0.02)
    assert half.activations > 2 * 64 * 3 * 64 * 4 * 8  # tokens, layers, width, bytes: several tensors of each


def test_logits_stop_growing_where_a_part_of_them_is_made_at_a_time() -> None:
    kept = memory._Kept(total=100, largest=10, logits=2**28)
    further = memory._Kept(total=130, largest=15, logits=2**29)
    assert kept.grown(further, 6) == memory._Kept(total=280, largest=40, logits=2**28 * 7)
    model = base("llama")
    rows = {name: value.repeat(200, 1) for name, value in batch().items()}  # 25 million logits
    need = memory.predict(model, rows, language_loss, averaged=False)
    without = memory.predict(model, rows | {"labels": torch.full_like(rows["labels"], -100)}, language_loss, averaged=False)
    assert need.activations - without.activations < memory.LOGITS_HELD + 2**24


def test_predicting_leaves_no_tensor_behind() -> None:
    model = base("llama")

    def tensors() -> int:
        gc.collect()
        return sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects())

    memory.predict(model, batch(), language_loss, averaged=False)
    before = tensors()
    memory.predict(model, batch(), language_loss, averaged=False)
    assert tensors() == before


def test_a_frozen_weight_needs_no_state() -> None:
    model = base("llama")
    model.get_input_embeddings().weight.requires_grad_(False)
    need = memory.predict(model, batch(), language_loss, averaged=True)
    assert need.states == 20 * (model.num_parameters() - 500 * 64)


def test_more_than_the_machine_has_left_is_one_line() -> None:
    left = memory.left(CPU, 2)
    assert 0 < left <= memory.available(CPU)
    memory.require(memory.Need(1, 1, 1), left)
    with pytest.raises(UserError, match=r"^params.yaml: training needs 1048576.0 GiB more memory at its peak, and .* lower batch_size"):
        memory.require(memory.Need(2**50, 0, 0), left)


def test_a_containers_limit_counts(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal:       9000 kB\nMemAvailable:   4000 kB\n")
    assert memory.available(CPU, tmp_path) == 4000 * 1024
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("max\n")
    assert memory.available(CPU, tmp_path) == 4000 * 1024
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("3000000\n")
    (tmp_path / "sys/fs/cgroup/memory.current").write_text("1000000\n")
    assert memory.available(CPU, tmp_path) == 2000000
