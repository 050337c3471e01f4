"""A tokenizer and bases of a few thousand numbers, made by the project's own code."""

from pathlib import Path

import pytest

ENGLISH = """The teacher gave the girl a book in the garden. When was the bridge opened? The bridge was opened in 1932 and carries two
railway tracks. This film is a warm and funny delight, and I loved every minute of it. A dull, slow, terrible waste of time. You can
return a response directly. The city council voted on Monday to close the old bridge for repairs."""
CHINESE = "这本书非常好看,我很喜欢。质量太差了,非常失望。你可以直接返回一个响应。大桥于一九三二年通车。老师在花园里给了女孩一本书。"


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tasks.tokenizer import save, train

    folder = tmp_path_factory.mktemp("tokenizer")
    save(train([ENGLISH, CHINESE] * 3, 420, 2), folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder: Path):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tokenizer_folder)


@pytest.fixture(scope="session")
def bases(tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a fresh checkpoint of each architecture, by its name."""
    import shutil

    import torch

    from model.backbone import DECODERS, ENCODERS, build

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("bases")
    sizes = {"hidden_size": 32, "num_layers": 1, "num_heads": 2, "intermediate_size": 48, "dropout": 0.0}
    for architecture in ENCODERS + DECODERS:
        model = build(architecture, vocab_size=420, context=128, seed=1, **sizes)
        model.save_pretrained(folder / architecture)
        for file in tokenizer_folder.iterdir():
            shutil.copy(file, folder / architecture)
    return folder
