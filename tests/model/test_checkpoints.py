import shutil
from pathlib import Path

import pytest
import torch

from model.checkpoints import newest, seal


def write(folder: Path, *steps: int) -> None:
    for step in steps:
        seal(folder, step, {"weight": torch.full((3,), float(step))}, {"step": step})


def step_of(folder: Path) -> int | None:
    found = newest(folder)
    return found and found[1]["step"]


def test_the_newest_comes_back_as_it_was(tmp_path: Path) -> None:
    write(tmp_path, 9, 10)
    tensors, state = newest(tmp_path) or pytest.fail("none found")
    assert torch.equal(tensors["weight"], torch.full((3,), 10.0))
    assert state == {"step": 10}


def test_two_are_kept(tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 3, 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000003", "step-00000004"]


def test_there_is_none_at_first(tmp_path: Path) -> None:
    assert newest(tmp_path / "new") is None


@pytest.mark.parametrize("file", ["tensors.safetensors", "state.json", "MANIFEST.json"])
@pytest.mark.parametrize("damage", ["changed", "cut", "empty", "missing"])
def test_a_damaged_one_is_passed_over(tmp_path: Path, file: str, damage: str) -> None:
    write(tmp_path, 1, 2)
    path = tmp_path / "step-00000002" / file
    content = path.read_bytes()
    match damage:
        case "changed":
            path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "empty":
            path.write_bytes(b"")
        case _:
            path.unlink()
    assert step_of(tmp_path) == 1


def test_one_whose_writing_was_cut_short_is_passed_over_and_written_again(tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    shutil.move(tmp_path / "step-00000002", tmp_path / "partial-00000002")
    (tmp_path / "partial-00000002" / "MANIFEST.json").unlink()
    assert step_of(tmp_path) == 1
    write(tmp_path, 2)
    assert step_of(tmp_path) == 2
