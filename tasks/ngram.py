"""Blocks of tokens in; what n-gram models of the same tokens lose on each held-out document out."""

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from model.params import STRICT, Positive
from tasks.blocks import documents, frequencies, read
from tasks.session import Session


@dataclass(frozen=True, kw_only=True)
class Params:
    """How much is counted."""

    __pydantic_config__ = STRICT

    max_train_tokens: Positive  # of the blocks, from their beginning


def run(tokens: Path, out: Path, *, params: Params, session: Session) -> dict[str, float]:
    """Count the training blocks under `tokens`; write `out/documents.parquet`, a row for each held-out document.

    `unigram` (frequencies, one added to each) and `trigram` (Kneser-Ney) are the nats of all its tokens, the closing one included; beside
    them stand its source, language and bytes.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from model.kneser_ney import Trigram

    train, held_out = (read(tokens / f"{split}.arrow") for split in ("train", "validation"))
    counted = list(documents(train.portions(max(1, params.max_train_tokens // train.context))))
    told = list(documents(held_out.portions()))
    size = len(frequencies(blocks.tokens for split in (train, held_out) for blocks in split.portions()))
    counts = frequencies((document[1:] for document in counted), size) + 1
    unigram, trigram = -np.log(counts / counts.sum()), Trigram.fit(counted, size)
    losses = {
        "unigram": [float(unigram[document[1:]].sum()) for document in told],
        "trigram": [-float(trigram.log_probabilities(document).sum()) for document in told],
    }
    table = pq.read_table(tokens / "held_out.parquet")
    for name, values in losses.items():
        table = table.append_column(name, pa.array(values, pa.float64()))
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    pq.write_table(table, out / "documents.parquet", compression="zstd")
    num_bytes = sum(table["bytes"].to_pylist())
    return {
        "num_tokens": sum(len(document) for document in counted),
        "num_trigrams": len(trigram.levels[-1].ngrams),
        **{f"{name}_bits_per_byte": sum(values) / math.log(2) / num_bytes for name, values in losses.items()},
    }
