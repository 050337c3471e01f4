import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from model import applications
from model.errors import UserError
from model.params import Embeddings, Lora
from model.predictor import Predictor
from tasks import finetune
from tasks.session import Session

PARAMS = finetune.Params(
    base="encoder",
    context=64,
    max_steps=6,
    batch_size=4,
    accumulation=1,
    learning_rate=3e-3,
    schedule="cosine",
    warmup_share=0.1,
    decay_share=0.2,
    weight_decay=0.01,
    layer_decay=1.0,
    gradient_clip=1.0,
    gradient_checkpointing=False,
    ema_decay=None,
    evaluate_every=3,
    patience=4,
    precision="float32",
    compile=False,
    slower_allowed=False,
    seed=1,
    num_threads=1,
    num_processes=1,
    sharded=False,
    dropout=0.1,
    label_smoothing=0.1,
    r_drop=0.0,
    lora=None,
    frozen_layers=0,
    chat=False,
    max_validation_examples=6,
    packed=True,
    augment=(),
    augment_share=0.1,
    augment_rows=100,
    augment_choices=5,
    embeddings=Embeddings(size=8, window=2, min_count=1, epochs=1, max_words=1000),
    reads="prepare/corpus",
)
NOTHING = Path("nothing")  # that augmentation reads
FILMS = [
    {"text": f"{word} film, number {n}", "label": label} for n in range(8) for word, label in (("warm", "positive"), ("dull", "negative"))
]
PAIRS = [{"source": f"The bridge {n}", "target": f"大桥 {n}", "source_lang": "en", "target_lang": "zh"} for n in range(16)]
ROWS = {"sentiment": FILMS, "translation": PAIRS}


def write_splits(folder: Path, application: str, rows: list[dict]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "validation", "test"):
        pq.write_table(pa.Table.from_pylist(rows, schema=applications.load(application).SCHEMA), folder / f"{split}.parquet")
    return folder


def session(folder: Path, log=lambda step, values: None) -> Session:
    return Session(checkpoints=folder, log=log, progress=lambda done, total: None)


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize(("application", "base"), [("sentiment", "bert"), ("translation", "llama")])
def test_a_checkpoint_loads_anywhere_and_is_the_same_again(application: str, base: str, bases: Path, tmp_path: Path) -> None:
    splits = write_splits(tmp_path / "splits", application, ROWS[application])
    metrics = [
        finetune.run(
            bases / base, splits, NOTHING, tmp_path / name, params=PARAMS, session=session(tmp_path / f"{name}-c"), variant=application
        )
        for name in ("one", "two")
    ]
    assert metrics[0] == metrics[1]
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "application.json", "history.jsonl"} <= set(
        files(tmp_path / "one")
    )
    auto = AutoModelForSequenceClassification if application == "sentiment" else AutoModelForCausalLM
    assert auto.from_pretrained(tmp_path / "one").config.max_position_embeddings == 128
    assert len(AutoTokenizer.from_pretrained(tmp_path / "one")) == 420
    facts = json.loads((tmp_path / "one/application.json").read_text(encoding="utf-8"))
    labels = ["negative", "positive"] if application == "sentiment" else ["en > zh"]
    assert facts == {"application": application, "context": 64, "labels": labels}
    history = [json.loads(line) for line in (tmp_path / "one/history.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [entry["step"] for entry in history if "validation_loss" in entry] == [3, 6]
    assert metrics[0]["validation_loss"] == min(entry.get("validation_loss", 9) for entry in history)
    assert metrics[0]["num_examples"] == 16
    assert metrics[0]["num_validation_examples"] == 6


LORA = Lora(rank=2, alpha=4.0, dropout=0.1, modules={"encoder": ["query", "value"]})


@pytest.mark.e2e
@pytest.mark.parametrize("params", [PARAMS, replace(PARAMS, lora=LORA)], ids=["full", "lora"])
def test_a_fine_tuning_that_is_killed_and_started_again_ends_with_the_same_bytes(
    params: finetune.Params, bases: Path, tmp_path: Path
) -> None:
    class Killed(BaseException):
        pass

    def kill(step: int, values: dict[str, float]) -> None:
        if step == 5:
            raise Killed

    splits = write_splits(tmp_path / "splits", "sentiment", FILMS)
    finetune.run(bases / "bert", splits, NOTHING, tmp_path / "whole", params=params, session=session(tmp_path / "a"), variant="sentiment")
    with pytest.raises(Killed):
        finetune.run(
            bases / "bert", splits, NOTHING, tmp_path / "out", params=params, session=session(tmp_path / "b", kill), variant="sentiment"
        )
    finetune.run(bases / "bert", splits, NOTHING, tmp_path / "out", params=params, session=session(tmp_path / "b"), variant="sentiment")
    assert files(tmp_path / "out") == files(tmp_path / "whole")


@pytest.mark.parametrize(("application", "base"), [("sentiment", "bert"), ("translation", "llama")])
def test_a_training_that_diverges_names_the_examples(application: str, base: str, bases: Path, tmp_path: Path) -> None:
    splits = write_splits(tmp_path / "splits", application, ROWS[application])
    params = replace(PARAMS, learning_rate=1e30, gradient_clip=1e30, schedule="constant", warmup_share=0.0, batch_size=2)
    text = "(warm|dull) film" if application == "sentiment" else "The bridge"
    with pytest.raises(UserError, match=rf'^training: the loss is .* at step \d, on "[^"]*{text}.*; lower learning_rate \(.*\)$'):
        finetune.run(bases / base, splits, NOTHING, tmp_path / "out", params=params, session=session(tmp_path / "c"), variant=application)


def test_adapters_are_merged_into_a_plain_checkpoint(bases: Path, tmp_path: Path) -> None:
    splits = write_splits(tmp_path / "splits", "sentiment", FILMS)
    params = replace(PARAMS, lora=LORA)
    finetune.run(bases / "bert", splits, NOTHING, tmp_path / "out", params=params, session=session(tmp_path / "c"), variant="sentiment")
    before, after = (load_file(folder / "model.safetensors") for folder in (bases / "bert", tmp_path / "out"))
    assert not [name for name in after if "lora" in name or "base_layer" in name]
    changed = {name for name in after if name in before and not torch.equal(before[name], after[name])}
    assert changed == {f"bert.encoder.layer.0.attention.self.{name}.weight" for name in ("query", "value")}
    assert {name for name in after if name not in before} == {
        f"{name}.{kind}" for name in ("bert.pooler.dense", "classifier") for kind in ("weight", "bias")
    }
    difference = after["bert.encoder.layer.0.attention.self.query.weight"] - before["bert.encoder.layer.0.attention.self.query.weight"]
    assert torch.linalg.matrix_rank(difference, atol=1e-6) == 2
    AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")


def test_frozen_layers_stay_as_they_were(bases: Path, tmp_path: Path) -> None:
    splits = write_splits(tmp_path / "splits", "translation", PAIRS)
    params = replace(PARAMS, frozen_layers=1)
    finetune.run(bases / "llama", splits, NOTHING, tmp_path / "out", params=params, session=session(tmp_path / "c"), variant="translation")
    before, after = (load_file(folder / "model.safetensors") for folder in (bases / "llama", tmp_path / "out"))
    assert [name for name in after if not torch.equal(before[name], after[name])] == ["model.norm.weight"]


TEMPLATE = (
    "{% for m in messages %}[CLS]{{ m.role }}: {{ m.content }}[SEP]{% endfor %}{% if add_generation_prompt %}[CLS]assistant: {% endif %}"
)


def test_with_a_chat_template_training_and_prediction_put_prompts_through_it(bases: Path, tmp_path: Path) -> None:
    shutil.copytree(bases / "llama", tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "base")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(tmp_path / "base")
    splits = write_splits(tmp_path / "splits", "translation", PAIRS)
    losses = {}
    for chat in (True, False):
        out = tmp_path / str(chat)
        params = replace(PARAMS, chat=chat)
        run = finetune.run(tmp_path / "base", splits, NOTHING, out, params=params, session=session(out / "c"), variant="translation")
        losses[chat] = run["first_train_loss"]
        assert bool(Predictor(out).tokenizer.chat_template) == chat
    assert losses[True] != losses[False]
    numbers = {"batch_size": 2, "max_new_tokens": 4, "strategy": "greedy", "num_beams": 2, "temperature": 1.0}
    numbers |= {"top_k": 5, "top_p": 0.9, "min_p": 0.1, "seed": 1}
    assert [set(row) for row in Predictor(tmp_path / "True").predict(PAIRS[:2], numbers)] == [{"translation"}] * 2


def test_it_learns(bases: Path, tmp_path: Path) -> None:
    params = replace(PARAMS, max_steps=60, evaluate_every=20, label_smoothing=0.0, dropout=0.0, learning_rate=1e-2)
    splits = write_splits(tmp_path / "splits", "sentiment", FILMS)
    metrics = finetune.run(
        bases / "bert", splits, NOTHING, tmp_path / "out", params=params, session=session(tmp_path / "c"), variant="sentiment"
    )
    assert metrics["last_train_loss"] < 0.6 * metrics["first_train_loss"]
    assert metrics["validation_loss"] < 0.6 * metrics["first_train_loss"]


def test_augmentation_adds_to_the_train_split_alone_and_gives_the_same_bytes(bases: Path, tmp_path: Path) -> None:
    splits = write_splits(tmp_path / "splits", "sentiment", FILMS)
    before = files(splits)

    def run(name: str, **changes) -> dict[str, float]:
        params = replace(PARAMS, max_steps=2, evaluate_every=2, **changes)
        out, used = tmp_path / name, session(tmp_path / f"{name}-c")
        return finetune.run(bases / "bert", splits, NOTHING, out, params=params, session=used, variant="sentiment")

    plain = run("plain")
    told = [run(name, augment=("random_swap", "masked_lm"), augment_share=0.5) for name in ("one", "two")]
    assert told[0] == told[1]
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert 16 < told[0]["num_examples"] <= 48
    assert told[0]["num_validation_examples"] == plain["num_validation_examples"]
    assert files(splits) == before


def test_back_translation_needs_a_translation_model_that_knows_the_way_back(bases: Path, tmp_path: Path) -> None:
    pairs = write_splits(tmp_path / "pairs", "translation", PAIRS)
    splits = write_splits(tmp_path / "splits", "sentiment", FILMS)

    def run(name: str, base: str, splits: Path, steps: int = 1, **changes) -> dict[str, float]:
        numbers = {"max_steps": steps, "evaluate_every": steps, "warmup_share": 0.0, "learning_rate": 1e-2, "augment_rows": 4}
        params = replace(PARAMS, **numbers, **changes)
        used = session(tmp_path / f"{name}{len(changes)}-c")
        return finetune.run(bases / base, splits, tmp_path / "translation", tmp_path / name, params=params, session=used, variant=name)

    asked = {"augment": ("back_translation",), "reads": "finetune/translation"}
    run("translation", "llama", pairs)
    with pytest.raises(UserError, match=r"knows en > zh and no way back of any text; add reverse to finetune\.translation\.augment"):
        run("sentiment", "bert", splits, **asked)
    assert run("translation", "llama", pairs, steps=40, augment=("reverse",))["num_examples"] == 20
    assert json.loads((tmp_path / "translation/application.json").read_text(encoding="utf-8"))["labels"] == ["en > zh", "zh > en"]
    assert 16 < run("sentiment", "bert", splits, **asked)["num_examples"] <= 20


def test_smoothing_dropout_and_r_drop_change_the_weights_and_dropout_goes_into_the_config(bases: Path, tmp_path: Path) -> None:
    splits = write_splits(tmp_path / "splits", "sentiment", FILMS)
    weights = []
    for index, changes in enumerate(({}, {"label_smoothing": 0.0}, {"dropout": 0.0}, {"r_drop": 1.0})):
        out = tmp_path / str(index)
        finetune.run(
            bases / "bert", splits, NOTHING, out, params=replace(PARAMS, **changes), session=session(out / "c"), variant="sentiment"
        )
        weights.append(load_file(out / "model.safetensors")["classifier.weight"])
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[3])
    assert json.loads((tmp_path / "0/config.json").read_text(encoding="utf-8"))["hidden_dropout_prob"] == 0.1


def test_what_cannot_be_trained_is_said_in_one_line(bases: Path, tmp_path: Path) -> None:
    splits = write_splits(tmp_path / "splits", "translation", [{**row, "source": "The bridge " * 99} for row in PAIRS])

    def run(params: finetune.Params, base: str = "llama", splits: Path = splits, variant: str = "translation") -> None:
        finetune.run(bases / base, splits, NOTHING, tmp_path / "out", params=params, session=session(tmp_path / "c"), variant=variant)

    with pytest.raises(UserError, match=r"train\.parquet: no row fits 64 tokens; raise finetune\.translation\.context"):
        run(PARAMS)
    with pytest.raises(UserError, match=r"finetune\.translation\.context: 256 tokens, and the base has 128 positions; lower it"):
        run(replace(PARAMS, context=256))
    with pytest.raises(UserError, match="an encoder cannot write text"):
        run(PARAMS, base="bert")
    with pytest.raises(UserError, match=r"finetuning\.chat: the base's tokenizer has no chat template; set it to false"):
        run(replace(PARAMS, chat=True))
    with pytest.raises(UserError, match=r"finetuning\.frozen_layers: 2, and the base has 1 layers; lower it"):
        run(replace(PARAMS, frozen_layers=2))
    told = r"lora\.modules\.encoder: no module query in this base; there is down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj$"
    with pytest.raises(UserError, match=told):
        run(replace(PARAMS, lora=LORA))
    with pytest.raises(UserError, match="no checkpoint there"):
        run(PARAMS, base="nowhere")
    with pytest.raises(UserError, match="jokes: no such application; there is qa, sentiment"):
        run(PARAMS, variant="jokes")
    with pytest.raises(UserError, match=r"train\.parquet: no column text; there is source, target"):
        run(PARAMS, base="bert", variant="sentiment")
    (splits / "train.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"train\.parquet: not a Parquet file"):
        run(PARAMS)
    (splits / "train.parquet").unlink()
    with pytest.raises(UserError, match=r"train\.parquet: no such file"):
        run(PARAMS)
