"""A GGUF header as the `gguf` package writes it, and everything that is none."""

import struct
from pathlib import Path

import numpy as np
import pytest

from model.errors import UserError
from tasks import gguf_header


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from gguf import GGUFWriter

    file = tmp_path_factory.mktemp("gguf") / "model.gguf"
    writer = GGUFWriter(file, "llama")
    writer.add_context_length(64)
    writer.add_float32("llama.rope.freq_base", 10000.0)
    writer.add_bool("tokenizer.ggml.add_bos_token", False)
    writer.add_token_list(["<|end|>", "桥", "bridge"])
    writer.add_token_types([3, 1, 1])
    writer.add_chat_template("{{ messages }}")
    writer.add_tensor("token_embd.weight", np.zeros((3, 8), dtype=np.float32))
    writer.add_tensor("output_norm.weight", np.ones(8, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def test_keys_and_shapes_are_those_that_were_written(written: Path) -> None:
    header = gguf_header.read(written, "model.gguf")
    assert header.values["general.architecture"] == "llama"
    assert header.values["llama.context_length"] == 64
    assert header.values["llama.rope.freq_base"] == 10000.0
    assert header.values["tokenizer.ggml.add_bos_token"] is False
    assert header.values["tokenizer.ggml.tokens"] == header.values["tokenizer.ggml.token_type"] == 3
    assert header.values["tokenizer.chat_template"] == "{{ messages }}"
    assert header.shapes == {"token_embd.weight": (8, 3), "output_norm.weight": (8,)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: b"", r"^m\.gguf: no GGUF file \(it begins with b'', and not with b'GGUF'\); give another$"),
        (lambda content: b"PK\x03\x04" + content, r"no GGUF file \(it begins with b'PK"),
        (lambda content: content[:4] + struct.pack("<I", 1) + content[8:], r"version 1 of GGUF, and 2 and 3 are known"),
        (lambda content: content[:7], r"damaged header \(at byte 4\)"),
        (lambda content: content[:90], r"damaged header"),
        (lambda content: content[:8] + struct.pack("<Q", 1 << 60) + content[16:], r"damaged header"),
        (lambda content: content[:24] + struct.pack("<Q", 1 << 60) + content[32:], r"damaged header"),
    ],
)
def test_what_is_no_header_is_one_line(written: Path, tmp_path: Path, change, message: str) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(change(written.read_bytes()))
    with pytest.raises(UserError, match=message) as error:
        gguf_header.read(file, "m.gguf")
    assert "\n" not in str(error.value)
