"""A base and held-out documents in; how well it foretells them by language and source, in pairs beside n-gram models, out.

A decoder is judged in bits per byte of text, which says the same whatever its tokens are; an encoder in nats per masked token, beside the
frequencies of its own tokens.
"""

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt, Lt

from model.params import STRICT, Positive
from tasks import blocks
from tasks.session import Session

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel

    from model.surprise import Window

SIZE = "size"  # what a document's loss is divided by: bytes, or masked tokens


@dataclass(frozen=True, kw_only=True)
class Params:
    """How a base is asked, and how the intervals are made."""

    __pydantic_config__ = STRICT

    mask_probability: Annotated[float, Gt(0), Lt(1)]  # of an encoder's tokens, all of which are shown as the mask
    batch_size: Positive
    resamples: Annotated[int, Ge(100)]  # of the bootstrap and of the permutation test, over documents
    confidence: Annotated[float, Gt(0.5), Lt(1)]
    seed: Annotated[int, Ge(0)]
    num_threads: Positive


def run(checkpoint: Path, tokens: Path, ngram: Path, out: Path, *, params: Params, session: Session) -> dict[str, float]:
    """Judge `checkpoint` on the held-out documents under `tokens`; write `assessment.json` and `documents.parquet` to `out`."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch
    from transformers import AutoTokenizer

    from model.features import Special
    from model.surprise import causal_windows, losses, masked_windows

    torch.set_num_threads(params.num_threads)
    model, tokenizer, ours = _model(checkpoint), AutoTokenizer.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(tokens)
    decoder = model.can_generate()
    held_out = blocks.read(tokens / "validation.arrow")
    documents = list(blocks.of_model(held_out, ours, tokenizer, decoder))
    table = pq.read_table(ngram / "documents.parquet")
    if decoder:
        metric, unit, sizes = "bits_per_byte", math.log(2), table["bytes"].to_numpy()
        windows = list(causal_windows(documents, held_out.context))
        others = {name: table[name].to_numpy() for name in ("trigram", "unigram")}
    else:
        metric, unit, special = "masked_cross_entropy", 1.0, tokenizer.all_special_ids
        drawn = (tokenizer.mask_token_id, special, params.mask_probability, params.seed)
        windows = list(masked_windows(documents, held_out.context, *drawn))
        train = blocks.of_model(blocks.read(tokens / "train.arrow"), ours, tokenizer, decoder)
        counted = blocks.frequencies(train, len(tokenizer))
        unigram, sizes = _by_frequency(windows, len(documents), counted, special)
        others = {"unigram": unigram}
    nats = {"base": losses(model, windows, len(documents), Special.of(tokenizer).pad, params.batch_size), **others}
    table = table.select(["source", "lang"]).append_column(SIZE, pa.array(sizes, pa.int64()))
    for name, values in nats.items():
        table = table.append_column(name, pa.array(values / unit, pa.float64()))
    rows = table.to_pylist()
    facts = {
        "base": checkpoint.name,
        "metric": metric,
        "confidence": params.confidence,
        "resamples": params.resamples,
        "all": compared(rows, params),
        **{f"by_{key}": _by(rows, key, params) for key in ("lang", "source")},
    }
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    pq.write_table(table, out / "documents.parquet", compression="zstd")
    (out / "assessment.json").write_text(json.dumps(facts, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    session.progress(1, 1)
    return _numbers(facts)


def compared(rows: Sequence[Mapping[str, Any]], params: Params) -> dict[str, Any]:
    """The `base`'s loss over documents with its interval, and the difference to every other column's, below 0 where the base is better."""
    import numpy as np

    from model.bootstrap import difference, intervals, p_value, resampled

    names = [name for name in rows[0] if name not in ("source", "lang", SIZE)]
    statistics = {name: np.array([[row[name], row[SIZE]] for row in rows], dtype=np.float64) for name in names}
    samples = {name: resampled(one, _mean, params.resamples, params.seed) for name, one in statistics.items()}
    told = {name: intervals(one, _mean, samples[name], params.confidence)["loss"] for name, one in statistics.items()}
    yardsticks = {}
    for name in names[1:]:
        value = told["base"].value - told[name].value
        low, high = difference(samples["base"]["loss"], samples[name]["loss"], params.confidence)
        p = p_value(statistics["base"], statistics[name], lambda total: -_mean(total)["loss"], params.resamples, params.seed)
        beats = value < 0 and p < 1 - params.confidence
        yardsticks[name] = asdict(told[name]) | {
            "comparison": {"difference": value, "low": low, "high": high, "p_value": p, "beats": beats},
        }
    return asdict(told["base"]) | {"num_documents": len(rows), SIZE: sum(row[SIZE] for row in rows), "yardsticks": yardsticks}


def _by(rows: Sequence[Mapping[str, Any]], key: str, params: Params) -> dict[str, Any]:
    names = sorted({row[key] or "unknown" for row in rows})
    return {name: compared([row for row in rows if (row[key] or "unknown") == name], params) for name in names}


def _by_frequency(
    windows: "Sequence[Window]", num_documents: int, counted: "np.ndarray", special: Sequence[int]
) -> "tuple[np.ndarray, np.ndarray]":
    """Nats of what is asked of each document by the frequency of its tokens, one added to each, and how many tokens that are."""
    import numpy as np

    from model.vocabulary import IGNORED

    counts = counted + 1
    counts[special] = 0  # they are never masked
    loss = np.zeros(len(counts))
    np.log(counts / counts.sum(), where=counts > 0, out=loss)
    nats, sizes = np.zeros(num_documents), np.zeros(num_documents, dtype=np.int64)
    for window in windows:
        asked = window.labels[window.labels != IGNORED]
        nats[window.document] -= loss[asked].sum()
        sizes[window.document] += len(asked)
    return nats, sizes


def _model(checkpoint: Path) -> "PreTrainedModel":
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

    from model.backbone import is_decoder

    auto = AutoModelForCausalLM if is_decoder(AutoConfig.from_pretrained(checkpoint)) else AutoModelForMaskedLM
    model = auto.from_pretrained(checkpoint, dtype=torch.float32, attn_implementation="sdpa").eval()
    torch.nn.Module.to(model, "cuda" if torch.cuda.is_available() else "cpu")
    return model


def _mean(total: "np.ndarray") -> dict[str, float]:
    return {"loss": float(total[0] / max(total[1], 1))}


def _numbers(facts: Mapping[str, Any]) -> dict[str, float]:
    metric, whole = facts["metric"], facts["all"]
    numbers = {
        metric: whole["value"],
        f"{metric}_low": whole["low"],
        f"{metric}_high": whole["high"],
        "num_documents": whole["num_documents"],
    }
    for name, yardstick in whole["yardsticks"].items():
        told = yardstick["comparison"]
        numbers |= {f"{name}_{metric}": yardstick["value"], f"p_value_{name}": told["p_value"], f"beats_{name}": float(told["beats"])}
    return numbers | {f"{metric}_{name}": one["value"] for name, one in facts["by_lang"].items()}
