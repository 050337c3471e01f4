"""Translation: a text and two language codes in, the text in the other language out."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from .. import generation
from . import Row

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..params import Decoding, Fitting

SCHEMA = pa.schema([("source", pa.string()), ("target", pa.string()), ("source_lang", pa.string()), ("target_lang", pa.string())])
INPUTS = ("source", "source_lang", "target_lang")
METRIC = "bleu"
EXAMPLE = {"source": "You can return a response directly.", "source_lang": "en", "target_lang": "zh"}

open_model = generation.open_model


def refuse(row: Row) -> str | None:
    """Why a row of the right types cannot be used, or None."""
    return next((f"{name}: empty" for name in SCHEMA.names if not row[name].strip()), None)


def split_key(row: Row) -> str:
    """The text whose hash decides the split: the whole example."""
    return json.dumps([row[name] for name in SCHEMA.names], ensure_ascii=False)


def labels(rows: Sequence[Row]) -> list[str]:
    """The directions of training rows, sorted: back-translation asks which ways a model knows."""
    return sorted({f"{row['source_lang']} > {row['target_lang']}" for row in rows})


def prompt(row: Row) -> str:
    """What the model reads before it answers."""
    return generation.direction_prompt(row["source"], row["source_lang"], row["target_lang"])


def encode(rows: Sequence[Row], tokenizer: "PreTrainedTokenizerBase", context: int, labels: Sequence[str]) -> list[generation.Feature]:
    """Prompt and answer, loss on the answer only; a pair that does not fit whole into `context` tokens gives nothing."""
    return generation.encode([(prompt(row), row["target"]) for row in rows], tokenizer, context, shorten=False)


def predict(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: Sequence[Row],
    context: int,
    batch_size: int,
    decoding: "Decoding",
) -> list[dict[str, Any]]:
    """One `translation` a row."""
    texts = generation.answer(model, tokenizer, [prompt(row) for row in rows], context, batch_size, decoding)
    return [{"translation": text} for text in texts]


def statistics(rows: Sequence[Row], predictions: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Counts of matching n-grams, shape (rows, 10 + 18): of BLEU's four orders of words, and of chrF's six of characters.

    Words are split as the target's language asks (`words_of`), so a set of several languages has one BLEU over all its n-grams.
    """
    from sacrebleu.metrics import BLEU, CHRF

    scorers = {language: BLEU(tokenize=words_of(language), force=True) for language in {row["target_lang"] for row in rows}}
    chrf = CHRF()
    return np.array(
        [
            _counts(scorers[row["target_lang"]], prediction["translation"], row["target"])
            + _counts(chrf, prediction["translation"], row["target"])
            for row, prediction in zip(rows, predictions, strict=True)
        ],
        dtype=np.float64,
    ).reshape(len(rows), 28)


def metrics(total: np.ndarray) -> dict[str, float]:
    """Corpus BLEU (Papineni et al. 2002) and chrF (Popovic 2015) from 0 to 100, as sacrebleu computes them (Post 2018)."""
    from sacrebleu.metrics import BLEU, CHRF

    counts = total.tolist()
    bleu = BLEU.compute_bleu(counts[2:6], counts[6:10], int(counts[0]), int(counts[1]), smooth_method="exp")
    return {"bleu": float(bleu.score), "chrf": float(CHRF()._compute_score_from_stats(counts[10:]).score)}


def baselines(train: Sequence[Row], rows: Sequence[Row], params: "Fitting") -> dict[str, list[dict[str, Any]]]:
    """The source, untranslated."""
    return {"copy the source": [{"translation": row["source"]} for row in rows]}


def words_of(language: str) -> str:
    """sacrebleu's name for the way to split a text of `language` into words."""
    return {"zh": "zh", "ja": "char", "ko": "char", "th": "char"}.get(language.lower().replace("_", "-").partition("-")[0], "13a")


def _counts(scorer: Any, hypothesis: str, reference: str) -> list[int]:
    return scorer._extract_corpus_statistics([hypothesis], [[reference]])[0]
