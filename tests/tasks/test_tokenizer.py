import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.errors import UserError
from model.vocabulary import END, SPECIAL_TOKENS
from tasks import tokenizer
from tasks.session import Session

PARAMS = tokenizer.Params(vocab_size=300, context=16, min_frequency=2, max_train_tokens=10_000, max_validation_tokens=1000, num_threads=1)
SESSION = Session(checkpoints=Path("unused"), log=lambda step, values: None, progress=lambda done, total: None)
ENGLISH = [f"The bridge number {number} was opened in {1900 + number}. It's long." for number in range(40)]
CHINESE = [f"第{number}座大桥于{1900 + number}年通车，全长{number * 37}米。" for number in range(40)]


def corpus(folder: Path, texts: dict[str, list[str]]) -> Path:
    folder.mkdir()
    rows = [{"text": text, "source": source, "lang": source} for source, several in texts.items() for text in several]
    schema = pa.schema({name: pa.string() for name in ("text", "source", "lang")})
    pq.write_table(pa.Table.from_pylist(rows[4:], schema=schema), folder / "train.parquet")
    pq.write_table(pa.Table.from_pylist(rows[:4] + rows[-4:], schema=schema), folder / "validation.parquet")
    return folder


def read(file: Path) -> tuple[list[list[int]], list[list[int]]]:
    table = pa.ipc.open_file(file).read_all()
    return table["input_ids"].to_pylist(), table["documents"].to_pylist()


def documents(file: Path) -> list[list[int]]:
    """The documents of packed blocks, put together again."""
    tokens = [token for block, indices in zip(*read(file), strict=True) for token, index in zip(block, indices, strict=True) if index >= 0]
    opened = [place for place, token in enumerate(tokens) if token == END][::2]
    return [tokens[start:stop] for start, stop in zip(opened, [*opened[1:], len(tokens)], strict=True)]


def test_the_blocks_hold_the_corpus_token_for_token(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    metrics = tokenizer.run(corpus(tmp_path / "corpus", {"en": ENGLISH, "zh": CHINESE}), tmp_path / "out", params=PARAMS, session=SESSION)
    loaded = AutoTokenizer.from_pretrained(tmp_path / "out")
    found = documents(tmp_path / "out/train.arrow")
    assert all(document[0] == document[-1] == END for document in found)
    assert sorted(loaded.decode(document[1:-1]) for document in found) == sorted((ENGLISH + CHINESE)[4:])
    assert metrics["train_tokens"] == sum(map(len, found))
    assert metrics["vocab_size"] == len(loaded) == 300
    facts = json.loads((tmp_path / "out/corpus.json").read_text(encoding="utf-8"))
    assert facts["validation"]["bytes"] == sum(len(text.encode()) for text in ENGLISH[:4] + CHINESE[-4:])
    assert facts["validation"]["documents"] == 8
    listed = pq.read_table(tmp_path / "out/held_out.parquet").to_pylist()
    texts = [loaded.decode(document[1:-1]) for document in documents(tmp_path / "out/validation.arrow")]
    assert [row["bytes"] for row in listed] == [len(text.encode()) for text in texts]
    assert [row["lang"] for row in listed] == ["en" if text.startswith("The") else "zh" for text in texts]
    assert metrics["bytes_per_token_zh"] == pytest.approx(
        facts["train"]["languages"]["zh"]["bytes"] / facts["train"]["languages"]["zh"]["tokens"]
    )


def test_every_block_is_full_but_the_last(tmp_path: Path) -> None:
    tokenizer.run(corpus(tmp_path / "corpus", {"en": ENGLISH}), tmp_path / "out", params=PARAMS, session=SESSION)
    schema = pa.ipc.open_file(tmp_path / "out/train.arrow").schema
    assert schema.field("input_ids").type == pa.list_(pa.uint16(), 16)
    _, indices = read(tmp_path / "out/train.arrow")
    assert all(-1 not in block for block in indices[:-1])
    assert all(block[0] == 0 for block in indices)


def test_the_same_corpus_gives_the_same_bytes_in_whatever_order(tmp_path: Path) -> None:
    for name, texts in (("one", {"en": ENGLISH, "zh": CHINESE}), ("two", {"en": ENGLISH, "zh": CHINESE})):
        tokenizer.run(corpus(tmp_path / name, texts), tmp_path / f"{name}-out", params=PARAMS, session=SESSION)
    table = pq.read_table(tmp_path / "one/train.parquet")
    pq.write_table(table.take(list(reversed(range(len(table))))), tmp_path / "one/train.parquet")
    tokenizer.run(tmp_path / "one", tmp_path / "one-out", params=PARAMS, session=SESSION)
    first, second = ({file.name: file.read_bytes() for file in (tmp_path / f"{name}-out").iterdir()} for name in ("one", "two"))
    assert first == second
    assert set(first) == {
        "tokenizer.json",
        "tokenizer_config.json",
        "train.arrow",
        "validation.arrow",
        "held_out.parquet",
        "corpus.json",
    }


def test_special_tokens_have_the_agreed_ids_and_none_is_added_or_read_out_of_a_text(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    texts = ["a [MASK] in <|end|> the text"] * 9
    tokenizer.run(corpus(tmp_path / "corpus", {"en": texts}), tmp_path / "out", params=PARAMS, session=SESSION)
    loaded = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert loaded.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == [0, 1, 2, 3, 4, 5]
    assert (loaded.bos_token_id, loaded.eos_token_id, loaded.pad_token_id, loaded.mask_token_id) == (5, 5, 0, 4)
    assert not set(range(6)) & set(loaded("plain text")["input_ids"])
    found = documents(tmp_path / "out/train.arrow")
    assert all(not set(range(6)) & set(document[1:-1]) for document in found)


def test_any_text_survives_and_a_words_offsets_leave_its_blank_out(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer.save(tokenizer.train(ENGLISH + CHINESE, 400, 2), tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for text in ("unseen 🐉 and\ttabs\n\n  blanks ", "，。新字龘", "It's 1234567 o'clock"):
        assert loaded.decode(loaded(text)["input_ids"]) == text
    text = "The bridge was"
    assert [text[start:stop] for start, stop in loaded(text, return_offsets_mapping=True)["offset_mapping"]][1].strip() in text[4:]
    assert all(text[start] != " " for start, _ in loaded(text, return_offsets_mapping=True)["offset_mapping"])


def test_composed_and_decomposed_letters_are_one() -> None:
    trained = tokenizer.train(["café"] * 3, 270, 2)
    assert trained.encode("café").ids == trained.encode("cafe\u0301").ids


def test_sources_share_the_budget_evenly_and_small_ones_leave_theirs_to_the_others() -> None:
    sources = {"large": [("large", 2)] * 100, "small": [("small", 3)] * 4, "middle": [("middle", 5)] * 20}
    chosen = list(tokenizer.spread(sources, lambda item: item[1], 90))
    given = {name: sum(size for source, size in chosen if source == name) for name in sources}
    assert given["small"] == 12
    assert abs(given["large"] - given["middle"]) <= 5
    assert 90 <= sum(given.values()) < 95


def test_the_budget_limits_the_tokens(tmp_path: Path) -> None:
    few = replace(PARAMS, max_train_tokens=500, max_validation_tokens=50)
    metrics = tokenizer.run(corpus(tmp_path / "corpus", {"en": ENGLISH, "zh": CHINESE}), tmp_path / "out", params=few, session=SESSION)
    assert 500 <= metrics["train_tokens"] < 560
    assert 50 <= metrics["validation_tokens"] < 110


def test_a_corpus_without_documents_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train.parquet: no documents; add text to data/corpus"):
        tokenizer.run(corpus(tmp_path / "corpus", {}), tmp_path / "out", params=PARAMS, session=SESSION)


def test_a_truncated_corpus_is_one_line(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "corpus", {"en": ENGLISH})
    content = (folder / "train.parquet").read_bytes()
    (folder / "train.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"train.parquet: cannot be read \(.*\); `stemma run --force prepare` writes it again"):
        tokenizer.run(folder, tmp_path / "out", params=PARAMS, session=SESSION)
