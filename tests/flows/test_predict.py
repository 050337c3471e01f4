"""Registered models and bases in use."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import predict
from model import applications
from model.errors import UserError
from tasks import register

SHORT = {"max_new_tokens": 8}


@pytest.fixture
def project(tmp_path: Path, bases: Path) -> Path:
    """A project with a base of each kind."""
    shutil.copy(Path(__file__).parents[2] / "params.yaml", tmp_path)
    (tmp_path / "build/pretrain").mkdir(parents=True)
    (tmp_path / "build/pretrain/encoder").symlink_to(bases / "bert")
    (tmp_path / "build/pretrain/decoder").symlink_to(bases / "llama")
    return tmp_path


def test_a_decoder_writes_piece_by_piece_and_the_same_again(project: Path) -> None:
    pieces = list(predict.generate(project, "decoder", "The bridge", SHORT))
    assert pieces == list(predict.generate(project, "decoder", "The bridge", SHORT))
    assert all(isinstance(piece, str) for piece in pieces)


def test_an_encoder_cannot_write(project: Path) -> None:
    with pytest.raises(UserError, match="encoder: an encoder fills gaps and cannot write on; name a decoder"):
        predict.generate(project, "encoder", "The bridge", SHORT)


def test_an_unknown_base_and_a_wrong_strategy_are_named_before_anything_is_written(project: Path) -> None:
    with pytest.raises(UserError, match="gpt: no such base in build/pretrain, there is decoder, encoder; `stemma run` makes those"):
        predict.generate(project, "gpt", "The bridge", SHORT)
    with pytest.raises(UserError, match="strategy: 'loud' is unknown"):
        predict.generate(project, "decoder", "The bridge", {"strategy": "loud"})


def test_what_there_is_not_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert predict.models(tmp_path) == []
    with pytest.raises(UserError, match="poetry: no such application; there is"):
        predict.predict(tmp_path, "poetry", ["x"])
    with pytest.raises(UserError, match="predict: needs texts or --file, one of them"):
        predict.predict(tmp_path, "sentiment", [])
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(UserError, match=r"empty\.jsonl: no rows in it, so there is nothing to answer; give a file"):
        predict.predict(tmp_path, "sentiment", [], tmp_path / "empty.jsonl")
    with pytest.raises(UserError, match="loudness: no such number; there is max_new_tokens, strategy"):
        predict.predict(tmp_path, "sentiment", ["x"], decoding={"loudness": 11})
    with pytest.raises(UserError, match="sentiment@champion: none is registered yet; `stemma run` does that"):
        predict.predict(tmp_path, "sentiment", ["x"])


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (("sentiment",), ("sentiment", "champion")),
        (("sentiment", "2"), ("sentiment", "2")),
        (("sentiment@challenger",), ("sentiment", "challenger")),
        (("sentiment/2",), ("sentiment", "2")),
        (("models:/sentiment/2",), ("sentiment", "2")),
    ],
)
def test_a_version_is_named_as_everywhere(given: tuple[str, ...], meant: tuple[str, str]) -> None:
    assert predict.named(*given) == meant


def test_two_versions_at_once_are_refused() -> None:
    with pytest.raises(UserError, match="predict: both sentiment/2 and --version champion name a version; give one of them"):
        predict.named("sentiment/2", "champion")


@pytest.mark.e2e
def test_each_application_predicts_rows_with_their_inputs(
    tracked: Path, fine_tuned: Callable[..., Path], judged: Callable[..., Path]
) -> None:
    for name in applications.names():
        register.register(tracked, name, fine_tuned(name), judged(name, 0.5), {})
    assert [(model["name"], model["aliases"]) for model in predict.models(tracked)] == [
        (name, ["champion"]) for name in applications.names()
    ]

    [good, bad] = predict.predict(tracked, "sentiment", ["good", "bad"])
    assert (good["text"], bad["text"]) == ("good", "bad")
    assert good["label"] in ("negative", "positive")
    [answered] = predict.predict(tracked, "qa", ["context=The bridge was opened in 1932.", "question=When?"])
    assert answered["answer"] in answered["context"]
    [tagged] = predict.predict(tracked, "srl", ["tokens=The teacher gave a book", "predicate=2"])
    assert len(tagged["tags"]) == 5
    file = tracked / "sources.jsonl"
    file.write_text('{"source": "You can return.", "source_lang": "en", "target_lang": "zh"}\n')
    greedy = predict.predict(tracked, "translation", [], file=file)
    drawn = predict.predict(tracked, "translation", [], file=file, version="1", decoding={"strategy": "temperature", "temperature": 5.0})
    assert greedy[0].keys() == drawn[0].keys() == {"source", "source_lang", "target_lang", "translation"}
    assert greedy != drawn
    with pytest.raises(UserError, match="top_k: 0 leaves no token to draw"):
        predict.predict(tracked, "translation", [], file=file, decoding={"strategy": "top-k", "top_k": 0})
