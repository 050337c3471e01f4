"""What a checkpoint says of its size is what its model has."""

from pathlib import Path

import pytest

from tasks import dimensions
from tasks.dimensions import Dimensions


@pytest.mark.parametrize("architecture", ["bert", "roberta", "modernbert", "gpt2", "llama"])
def test_of_a_folder_it_is_what_the_model_was_built_with(bases: Path, architecture: str) -> None:
    assert dimensions.of(bases / architecture) == Dimensions(layers=1, positions=128)


def test_roberta_has_no_positions_for_its_padding(bases: Path) -> None:
    import torch
    from transformers import AutoModel

    model = AutoModel.from_pretrained(bases / "roberta").eval()
    positions = dimensions.of(bases / "roberta").positions
    assert positions is not None
    assert model(torch.full((1, positions), 10)).last_hidden_state.shape[1] == positions
    with pytest.raises((IndexError, RuntimeError)):
        model(torch.full((1, positions + 1), 10))


def test_of_a_gguf_file_it_is_what_its_header_says(tmp_path: Path) -> None:
    from gguf import GGUFWriter

    writer = GGUFWriter(tmp_path / "model.gguf", "llama")
    writer.add_context_length(64)
    writer.add_block_count(5)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert dimensions.of(tmp_path) == Dimensions(layers=5, positions=64)
