import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.errors import UserError
from model.params import Span
from model.vocabulary import CLS, END, IGNORED, MASK, SEP
from tasks import pretrain, tokenizer
from tasks.blocks import Blocks, MappedBlocks, encoded_again, read, with_ends
from tasks.session import Session

PARAMS = pretrain.Params(
    architecture="llama",
    init_from=None,
    hidden_size=16,
    num_layers=1,
    num_heads=2,
    intermediate_size=24,
    dropout=0.0,
    masking="token",
    mask_probability=0.2,
    span=Span(stop=0.2, longest=10),
    max_steps=6,
    batch_size=4,
    accumulation=1,
    learning_rate=0.01,
    schedule="constant",
    warmup_share=0.0,
    decay_share=0.2,
    weight_decay=0.0,
    layer_decay=1.0,
    gradient_clip=1.0,
    gradient_checkpointing=False,
    ema_decay=None,
    evaluate_every=3,
    patience=5,
    precision="float32",
    compile=False,
    slower_allowed=False,
    seed=1,
    num_threads=1,
    num_processes=1,
    sharded=False,
)


@pytest.fixture(autouse=True)
def checkpoints(tmp_path: Path) -> None:
    (tmp_path / "checkpoints.json").write_text('["first"]', encoding="utf-8")


def session(folder: Path) -> Session:
    return Session(checkpoints=folder / "checkpoints", log=lambda step, values: None, progress=lambda done, total: None)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokens")
    rows = [{"text": f"Bridge {n} has {n * n} stones.", "source": "bridges", "lang": "en"} for n in range(60)]
    for split, some in (("train", rows[6:]), ("validation", rows[:6])):
        pq.write_table(pa.Table.from_pylist(some), folder / f"{split}.parquet")
    params = tokenizer.Params(vocab_size=290, context=16, min_frequency=2, max_train_tokens=9999, max_validation_tokens=99, num_threads=1)
    tokenizer.run(folder, folder / "out", params=params, session=session(folder))
    return folder / "out"


def whole(blocks: MappedBlocks) -> Blocks:
    return blocks.rows(range(len(blocks)))


def test_a_decoder_comes_out_as_a_checkpoint_with_its_tokenizer_and_history(tokens: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    metrics = pretrain.run(tokens, tmp_path, tmp_path / "out", params=PARAMS, session=session(tmp_path))
    model, loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out"), AutoTokenizer.from_pretrained(tmp_path / "out")
    assert model.config.vocab_size == len(loaded) == 290
    assert model.generation_config.eos_token_id == END
    assert model.config.max_position_embeddings == 512
    history = [json.loads(line) for line in (tmp_path / "out/history.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [entry["step"] for entry in history] == [1, 2, 3, 4, 5, 6]
    assert metrics["last_train_loss"] < metrics["first_train_loss"] == pytest.approx(math.log(290), abs=0.5)
    assert metrics["num_tokens"] == 6 * 4 * 16
    facts = json.loads((tokens / "corpus.json").read_text(encoding="utf-8"))["validation"]
    per_byte = (facts["tokens"] - facts["documents"]) / facts["bytes"]
    assert metrics["validation_bits_per_byte"] == pytest.approx(metrics["validation_loss"] / math.log(2) * per_byte)


def test_an_encoder_comes_out_as_a_checkpoint_and_says_how_many_masks_it_fills(tokens: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM

    metrics = pretrain.run(tokens, tmp_path, tmp_path / "out", params=replace(PARAMS, architecture="roberta"), session=session(tmp_path))
    assert AutoModelForMaskedLM.from_pretrained(tmp_path / "out").config.model_type == "roberta"
    assert 0 <= metrics["validation_accuracy"] <= 1
    assert "validation_bits_per_byte" not in metrics
    assert not (tmp_path / "out/generation_config.json").exists()


@pytest.mark.parametrize("architecture", ["modernbert", "gpt2"])
def test_the_same_blocks_give_the_same_bytes(architecture: str, tokens: Path, tmp_path: Path) -> None:
    params = replace(PARAMS, architecture=architecture, dropout=0.1)
    outputs = []
    for name in ("one", "two"):
        pretrain.run(tokens, tmp_path, tmp_path / name / "out", params=params, session=session(tmp_path / name))
        outputs.append({file.name: file.read_bytes() for file in (tmp_path / name / "out").iterdir()})
    assert outputs[0] == outputs[1]


def test_a_base_can_go_on_from_a_checkpoint(tokens: Path, tmp_path: Path) -> None:
    first = pretrain.run(tokens, tmp_path, tmp_path / "first", params=PARAMS, session=session(tmp_path / "a"))
    onward = replace(PARAMS, init_from="first")
    second = pretrain.run(tokens, tmp_path, tmp_path / "second", params=onward, session=session(tmp_path / "b"))
    assert second["first_train_loss"] < first["first_train_loss"] - 0.5


@pytest.mark.parametrize("architecture", ["gpt2", "bert"])
def test_a_checkpoint_with_another_tokenizer_reads_the_corpus_in_its_own_tokens(architecture: str, tokens: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    params = replace(PARAMS, architecture=architecture)
    first = pretrain.run(tokens, tmp_path, tmp_path / "first", params=params, session=session(tmp_path / "a"))
    tokenizer.save(tokenizer.train(["Bridge Bridge has stones stones"] * 5, 280, 2), tmp_path / "first")
    onward = replace(params, init_from="first")
    second = pretrain.run(tokens, tmp_path, tmp_path / "second", params=onward, session=session(tmp_path / "b"))
    assert len(AutoTokenizer.from_pretrained(tmp_path / "second")) < 290
    assert second["unigram_cross_entropy"] != first["unigram_cross_entropy"]


def test_encoding_again_keeps_the_text(tokens: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer.save(tokenizer.train(["Bridge Bridge has stones stones"] * 5, 280, 2), tmp_path)
    old, new = AutoTokenizer.from_pretrained(tokens), AutoTokenizer.from_pretrained(tmp_path)
    ours = read(tokens / "train.arrow")
    theirs = encoded_again(ours, old, new, (CLS, SEP), 3, tmp_path / "checkpoints")
    assert theirs.context == ours.context
    assert not list((tmp_path / "checkpoints").iterdir())
    texts = [
        tokenizer.decode(blocks.tokens[blocks.documents >= 0], skip_special_tokens=True)
        for tokenizer, blocks in ((old, whole(ours)), (new, whole(theirs)))
    ]
    assert texts[0] == texts[1]
    padding = whole(theirs).documents < 0
    assert padding.any()
    assert (whole(theirs).tokens[padding] == 3).all()


def refusal(tokens: Path, tmp_path: Path, **changes: object) -> str:
    with pytest.raises(UserError) as error:
        pretrain.run(tokens, tmp_path, tmp_path / "out", params=replace(PARAMS, **changes), session=session(tmp_path))
    assert not (tmp_path / "checkpoints").exists()
    return str(error.value)


def test_what_one_cannot_go_on_from_is_one_line_before_any_compute(bases: Path, tmp_path: Path) -> None:
    nothing = tmp_path / "no tokens: nothing was computed"
    shutil.copytree(bases / "bert", tmp_path / "ours")
    begin = "params.yaml: pretrain: init_from: "
    assert refusal(nothing, tmp_path, init_from="theirs").startswith(f"{begin}no checkpoint theirs; there is ours, `stemma ingest SOURCE` ")
    told = "ours is an encoder (bert), and a base whose architecture is llama is a decoder"
    assert refusal(nothing, tmp_path, init_from="ours") == f"{begin}{told}; name another checkpoint, or change the architecture"
    (tmp_path / "ours/model.safetensors").rename(tmp_path / "ours/pytorch_model.bin")
    assert refusal(nothing, tmp_path, init_from="ours").startswith(f"{begin}ours: pytorch_model.bin is a pickle")
    told = "max_steps: 0 takes a checkpoint as it is, and init_from names none; name one, or train"
    assert refusal(nothing, tmp_path, max_steps=0) == f"params.yaml: pretrain: {told}"


@pytest.mark.parametrize("architecture", ["llama", "bert"])
def test_without_a_step_a_checkpoint_is_taken_as_it_is(architecture: str, bases: Path, tokens: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    shutil.copytree(bases / architecture, tmp_path / "ours")
    params = replace(PARAMS, architecture=architecture, init_from="ours", max_steps=0)
    metrics = pretrain.run(tokens, tmp_path, tmp_path / "out", params=params, session=session(tmp_path))
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("ours", "out"))
    assert before.keys() == after.keys()
    assert all(before[name].equal(after[name]) for name in before)
    (entry,) = (json.loads(line) for line in (tmp_path / "out/history.jsonl").read_text(encoding="utf-8").splitlines())
    assert entry["step"] == metrics["num_steps"] == metrics["num_tokens"] == 0
    assert entry["validation_loss"] == metrics["validation_loss"] == pytest.approx(math.log(420), abs=1)


@pytest.mark.parametrize("missing", ["masking", "mask_probability", "span"])
def test_an_encoder_without_its_masking_is_refused(missing: str, tokens: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"masking, mask_probability and span: bert needs all of them; profiles/nano.yaml has them"):
        pretrain.run(
            tokens,
            tmp_path,
            tmp_path / "out",
            params=replace(PARAMS, architecture="bert", **{missing: None}),
            session=session(tmp_path),
        )


def test_a_training_that_diverges_names_the_documents_and_the_last_good_checkpoint(tokens: Path, tmp_path: Path) -> None:
    params = replace(PARAMS, learning_rate=1e30, gradient_clip=1e30, batch_size=2)
    quoted = r'"[^"]*(Bridge|stones)[^"]*\.\.\."'
    expected = rf"^training: the loss is .* and the gradient's norm .* at step \d+, on {quoted}(, {quoted})*; lower learning_rate \(.*\)$"
    with pytest.raises(UserError, match=expected):
        pretrain.run(tokens, tmp_path, tmp_path / "out", params=params, session=session(tmp_path))


@pytest.fixture(scope="module")
def ours(tokens: Path):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tokens)


def test_masks_are_drawn_anew_for_each_batch_and_alike_for_each_run(tokens: Path, ours) -> None:
    blocks = whole(read(tokens / "train.arrow"))
    labels = [pretrain.masked_examples(PARAMS, ours)(blocks, index)["labels"] for index in (0, 0, 1, -1)]
    assert labels[0].equal(labels[1])
    assert not labels[0].equal(labels[2])
    assert not labels[2].equal(labels[3])


def test_masking_is_four_fifths_mask_a_tenth_random_and_a_tenth_left(ours) -> None:
    random = np.random.default_rng(0)
    blocks = Blocks(random.integers(6, 290, (64, 512)), np.zeros((64, 512), dtype=np.int64))
    made = {name: value.numpy() for name, value in pretrain.masked_examples(PARAMS, ours)(blocks, 0).items()}
    chosen = made["labels"] != IGNORED
    assert chosen.mean() == pytest.approx(0.2, abs=0.01)
    assert np.array_equal(made["labels"][chosen], blocks.tokens[chosen])
    assert np.array_equal(made["input_ids"][~chosen], blocks.tokens[~chosen])
    assert (made["input_ids"][chosen] == MASK).mean() == pytest.approx(0.8, abs=0.02)
    assert (made["input_ids"][chosen] == blocks.tokens[chosen]).mean() == pytest.approx(0.1, abs=0.02)


def test_an_encoder_sees_its_own_ends_of_a_document_and_never_has_to_guess_them(tokens: Path, ours) -> None:
    stored = whole(read(tokens / "train.arrow"))
    blocks = with_ends(stored, CLS, SEP)
    ends = stored.tokens == END
    assert blocks.tokens[ends].tolist() == [CLS, SEP] * 54
    assert np.array_equal(blocks.tokens[~ends], stored.tokens[~ends])
    made = pretrain.masked_examples(replace(PARAMS, mask_probability=0.9), ours)(blocks, 0)
    assert (made["labels"].numpy()[ends | (blocks.documents < 0)] == IGNORED).all()


def test_validation_guesses_the_same_tokens_whatever_training_masks(tokens: Path, ours) -> None:
    blocks = whole(read(tokens / "train.arrow"))
    for masking in ("whole_word", "span"):
        made, plain = (pretrain.masked_examples(params, ours) for params in (replace(PARAMS, masking=masking), PARAMS))
        assert made(blocks, -1)["labels"].equal(plain(blocks, -1)["labels"])
        assert not made(blocks, 0)["labels"].equal(plain(blocks, 0)["labels"])


def test_the_unigram_yardstick_is_the_entropy_of_frequencies() -> None:
    blocks = MappedBlocks((np.array([[6] * 7 + [7]]),), (np.zeros((1, 8), dtype=np.int64),), 8)
    assert pretrain.unigram_cross_entropy(blocks, blocks, range(6)) == pytest.approx(-(7 * math.log(0.8) + math.log(0.2)) / 8)


def test_outputs_of_an_earlier_run_do_not_stay(tokens: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old.txt").write_text("old", encoding="utf-8")
    pretrain.run(tokens, tmp_path, tmp_path / "out", params=PARAMS, session=session(tmp_path))
    assert not (tmp_path / "out/old.txt").exists()
