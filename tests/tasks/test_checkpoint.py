"""Files that are a checkpoint, and one line for each way in which they are none."""

import json
import shutil
from pathlib import Path

import pytest

from model.errors import UserError
from tasks import checkpoint


def touched(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return sorted(folder / name for name in names)


def chosen(folder: Path, *names: str) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in checkpoint.chosen(touched(folder, *names), "mine")]


def test_of_a_folder_only_what_loads_without_pickles_is_taken(tmp_path: Path) -> None:
    names = ["config.json", "tokenizer.json", "model.safetensors", "pytorch_model.bin", "README.md", "1_Pooling/config.json"]
    assert chosen(tmp_path, *names) == ["config.json", "model.safetensors", "tokenizer.json"]


def test_of_an_archive_the_checkpoint_nearest_to_its_top_is_taken(tmp_path: Path) -> None:
    names = ["m/config.json", "m/model-1.safetensors", "m/model-2.safetensors", "m/model.safetensors.index.json", "m/onnx/a.safetensors"]
    assert chosen(tmp_path, *names) == names[:4]
    assert chosen(tmp_path / "gguf", "deep/tiny.gguf", "notes.txt") == ["deep/tiny.gguf"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["config.json", "pytorch_model.bin"], r"^mine: pytorch_model\.bin is a pickle, which can run any code; save the model as safet"),
        (["model.pt"], r"model\.pt is a pickle"),
        (["config.json"], r"^mine: no checkpoint \(neither"),
        (["a.gguf", "b.gguf"], r"^mine: several checkpoints \(a\.gguf, b\.gguf\); name one of them"),
        (["a/x.safetensors", "b/x.safetensors"], r"several checkpoints"),
    ],
)
def test_what_cannot_be_taken_is_one_line(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        chosen(tmp_path, *names)


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [("bert", "an encoder"), ("roberta", "an encoder"), ("modernbert", "an encoder"), ("gpt2", "a decoder"), ("llama", "a decoder")],
)
def test_a_checkpoint_says_what_it_is(bases: Path, architecture: str, kind: str) -> None:
    assert checkpoint.facts(bases / architecture, "mine") == checkpoint.Facts(architecture, 420, 420)
    assert checkpoint.kind_of(architecture) == kind


def edited(folder: Path, name: str, **changes: object) -> None:
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), r"^mine: no tokenizer\.json; "),
        (lambda folder: (folder / "config.json").unlink(), r"^mine: no config\.json; "),
        (lambda folder: edited(folder, "config.json", model_type="t5"), r"architecture 't5' cannot be gone on from; there is bert, "),
        (lambda folder: edited(folder, "config.json", quantization_config={}), r"its weights are quantized"),
        (lambda folder: (folder / "config.json").write_text("{"), r"config\.json is not JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), r"config\.json holds no JSON object"),
        (lambda folder: edited(folder, "tokenizer.json", model={}), r"tokenizer\.json is no tokenizer with a vocabulary"),
        (
            lambda folder: edited(folder, "tokenizer.json", added_tokens=[{"id": 420}]),
            r"^mine: its tokenizer has 421 tokens, and its embedding 420 rows; take the tokenizer that it was trained with$",
        ),
        (
            lambda folder: edited(folder, "tokenizer.json", added_tokens=[], model={"vocab": {"a": 0, "b": 1}}),
            r"its tokenizer has 2 tokens, and its embedding 420 rows",
        ),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"not weights"), r"^mine: model\.safetensors is damaged \("),
        (
            lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-9]),
            r"model\.safetensors is damaged",
        ),
        (lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"), r"pytorch_model\.bin is a pickle"),
    ],
)
def test_files_that_do_not_fit_are_one_line(bases: Path, tmp_path: Path, damage, message: str) -> None:
    shutil.copytree(bases / "llama", tmp_path / "mine")
    damage(tmp_path / "mine")
    with pytest.raises(UserError, match=message) as error:
        checkpoint.facts(tmp_path / "mine", "mine")
    assert "\n" not in str(error.value)


def gguf(folder: Path, architecture: str, tokens: int, rows: int) -> Path:
    import numpy as np
    from gguf import GGUFWriter

    folder.mkdir()
    writer = GGUFWriter(folder / "m.gguf", architecture)
    writer.add_token_list([f"<{number}>" for number in range(tokens)])
    writer.add_tensor("token_embd.weight", np.zeros((rows, 8), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return folder


def test_a_gguf_file_says_what_it_is(tmp_path: Path) -> None:
    assert checkpoint.facts(gguf(tmp_path / "mine", "qwen2", 96, 100), "mine") == checkpoint.Facts("qwen2", 100, 96)
    with pytest.raises(UserError, match=r"its tokenizer has 101 tokens, and its embedding 100 rows"):
        checkpoint.facts(gguf(tmp_path / "large", "llama", 101, 100), "large")
    with pytest.raises(UserError, match=r"architecture 'bert' cannot be gone on from; there is gpt2, llama, "):
        checkpoint.facts(gguf(tmp_path / "bert", "bert", 100, 100), "bert")
    (tmp_path / "mine/m.gguf").write_bytes(b"GGML")
    with pytest.raises(UserError, match=r"^mine: m\.gguf: no GGUF file"):
        checkpoint.facts(tmp_path / "mine", "mine")
