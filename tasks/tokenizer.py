"""Documents in; a byte-level BPE tokenizer, and the corpus as packed blocks of its tokens out."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from annotated_types import Ge

from model.errors import UserError
from model.params import STRICT, Positive
from model.vocabulary import END, SPECIAL_TOKENS
from tasks import blocks
from tasks.session import Session

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Words with the blank before them, numbers three digits at a time, punctuation, line ends: the split of GPT-4's tokenizer.
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BYTES_PER_TOKEN = 4  # a guess that decides how much text the merges are learnt from
DOCUMENTS_AT_ONCE = 64

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Params:
    """How many tokens there are, and how much of the corpus is kept."""

    __pydantic_config__ = STRICT

    vocab_size: Annotated[int, Ge(256 + len(SPECIAL_TOKENS))]
    context: Annotated[int, Ge(8)]  # tokens in a block
    min_frequency: Positive  # of a pair, to be merged
    max_train_tokens: Positive
    max_validation_tokens: Positive
    num_threads: Positive


@dataclass(frozen=True)
class Document:
    """One row of the corpus."""

    text: str
    source: str
    lang: str | None
    tokens: tuple[int, ...] = ()

    @property
    def num_bytes(self) -> int:
        return len(self.text.encode())


def run(corpus: Path, out: Path, *, params: Params, session: Session) -> dict[str, float]:
    """Read `corpus/{train,validation}.parquet`; write the tokenizer, `{train,validation}.arrow` and `corpus.json` under `out`.

    `held_out.parquet` lists the documents of the validation blocks, in their order.
    """
    os.environ["RAYON_NUM_THREADS"] = str(params.num_threads)  # tokenizers asks for it when it first starts threads
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    sources = _read(corpus / "train.parquet")
    sample = spread(sources, lambda document: document.num_bytes, params.max_train_tokens * BYTES_PER_TOKEN)
    tokenizer = train((document.text for document in sample), params.vocab_size, params.min_frequency)
    save(tokenizer, out)
    facts = {}
    for done, (split, limit) in enumerate({"train": params.max_train_tokens, "validation": params.max_validation_tokens}.items(), 1):
        encoded = {source: encode(tokenizer, documents) for source, documents in _read(corpus / f"{split}.parquet").items()}
        chosen: Iterable[Document] = spread(encoded, lambda document: len(document.tokens), limit)
        if split == "validation":
            chosen = list(chosen)
            _write_listing(chosen, out / "held_out.parquet")
        facts[split] = write_blocks(chosen, out / f"{split}.arrow", params.context, tokenizer.get_vocab_size())
        session.progress(done, 2)
    text = json.dumps(facts, ensure_ascii=False, indent=2, sort_keys=True)
    (out / "corpus.json").write_text(text + "\n", encoding="utf-8")
    return {"vocab_size": tokenizer.get_vocab_size()} | _metrics(facts)


def spread(sources: Mapping[str, Iterable[T]], size: Callable[[T], int], limit: int) -> Iterator[T]:
    """Items of all sources until their sizes reach `limit`; the next one is always from the source that has given least."""
    iterators = {name: iter(items) for name, items in sorted(sources.items())}
    given = dict.fromkeys(iterators, 0)
    while iterators and sum(given.values()) < limit:
        poorest = min(iterators, key=lambda name: given[name])
        item = next(iterators[poorest], None)
        if item is None:
            del iterators[poorest]
        else:
            given[poorest] += size(item)
            yield item


def train(texts: Iterable[str], vocab_size: int, min_frequency: int) -> "Tokenizer":
    """Byte-level byte-pair encoding (Sennrich et al., 2016; Radford et al., 2019) of ordered texts; it knows every string."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)  # adds no token; a word's offsets leave its blank out
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save(tokenizer: "Tokenizer", folder: Path) -> None:
    """The files that `AutoTokenizer.from_pretrained(folder)` reads."""
    from transformers import PreTrainedTokenizerFast

    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token", "eos_token")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        clean_up_tokenization_spaces=False,
        bos_token=SPECIAL_TOKENS[END],
        **dict(zip(names, SPECIAL_TOKENS, strict=True)),
    ).save_pretrained(folder)


def encode(tokenizer: "Tokenizer", documents: Iterable[Document]) -> Iterator[Document]:
    """The documents with their tokens, `<|end|>` before and after; a special token's name in a text is taken as text."""
    tokenizer.encode_special_tokens = True
    documents = iter(documents)
    while group := list(islice(documents, DOCUMENTS_AT_ONCE)):
        encodings = tokenizer.encode_batch_fast([document.text for document in group], add_special_tokens=False)
        for document, encoding in zip(group, encodings, strict=True):
            yield Document(document.text, document.source, document.lang, (END, *encoding.ids, END))


def write_blocks(documents: Iterable[Document], file: Path, context: int, vocab_size: int) -> dict[str, Any]:
    """Write the packed blocks of `documents`; returns how many documents, tokens and bytes of text they hold, also by language."""
    from model import packing

    counts = {"documents": 0, "tokens": 0, "bytes": 0}
    languages: dict[str, dict[str, int]] = {}

    def counted() -> Iterator[tuple[int, ...]]:
        for document in documents:
            for tally in (counts, languages.setdefault(document.lang or "unknown", dict.fromkeys(counts, 0))):
                tally["documents"] += 1
                tally["tokens"] += len(document.tokens)
                tally["bytes"] += document.num_bytes
            yield document.tokens

    blocks.write(packing.pack(counted(), context), file, context, vocab_size)
    return counts | {"languages": languages}


def _write_listing(documents: Sequence[Document], file: Path) -> None:
    kinds = {"source": pa.string(), "lang": pa.string(), "bytes": pa.int64()}
    rows = [{"source": document.source, "lang": document.lang, "bytes": document.num_bytes} for document in documents]
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(kinds)), file, compression="zstd")


def _read(file: Path) -> dict[str, Iterator[Document]]:
    """The documents of each source, ordered by their hash, read a group at a time."""
    try:
        table = pq.read_table(file, columns=["text", "source", "lang"])
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{file}: cannot be read ({str(error).splitlines()[0]}); `stemma run --force prepare` writes it again") from None
    if not len(table):
        raise UserError(f"{file}: no documents; add text to data/corpus, or look at build/prepare/report.html")
    order: dict[str, list[tuple[bytes, int]]] = {}
    for row, (text, source) in enumerate(zip(table["text"], table["source"], strict=True)):
        order.setdefault(source.as_py(), []).append((hashlib.sha256(text.as_py().encode()).digest(), row))

    def documents(rows: list[int]) -> Iterator[Document]:
        for start in range(0, len(rows), DOCUMENTS_AT_ONCE):
            yield from (Document(**row) for row in table.take(rows[start : start + DOCUMENTS_AT_ONCE]).to_pylist())

    return {source: documents([row for _, row in sorted(hashed)]) for source, hashed in order.items()}


def _metrics(facts: Mapping[str, Any]) -> dict[str, float]:
    numbers = {f"{split}_{name}": facts[split][name] for split in facts for name in ("documents", "tokens")}
    languages = facts["train"]["languages"]
    return numbers | {f"bytes_per_token_{name}": tally["bytes"] / tally["tokens"] for name, tally in languages.items()}
