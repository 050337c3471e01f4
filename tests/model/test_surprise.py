from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from model.surprise import causal_windows, losses, masked_windows
from model.vocabulary import CLS, END, IGNORED, MASK, PAD, SEP

RANDOM = np.random.default_rng(1)
DOCUMENTS = [np.array([END, *RANDOM.integers(6, 420, size), END]) for size in (1, 6, 7, 8, 15, 16, 17, 40)]


@pytest.mark.parametrize("context", [8, 9, 16, 64])
def test_a_decoder_is_asked_for_each_token_once_and_sees_half_a_window_before_it(context: int) -> None:
    windows = list(causal_windows(DOCUMENTS, context))
    assert max(len(window.ids) for window in windows) <= context
    for index, document in enumerate(DOCUMENTS):
        mine = [window for window in windows if window.document == index]
        asked = np.concatenate([window.labels[window.labels != IGNORED] for window in mine])
        assert asked.tolist() == document[1:].tolist()
        assert all(np.flatnonzero(window.labels != IGNORED)[0] >= context // 2 for window in mine[1:])
        assert all((window.labels == IGNORED)[0] for window in mine)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_a_decoders_loss_is_the_sum_over_the_whole_document(architecture: str, bases: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(bases / architecture).eval()
    found = losses(model, list(causal_windows(DOCUMENTS, 64)), len(DOCUMENTS), PAD, 3)
    for document, nats in zip(DOCUMENTS, found, strict=True):
        ids = torch.from_numpy(document)[None]
        with torch.inference_mode():
            told = model(ids).logits[0, :-1].log_softmax(-1)
        assert nats == pytest.approx(-float(told[range(len(document) - 1), ids[0, 1:]].sum()), rel=1e-4)


def test_an_encoder_is_asked_for_what_it_is_not_shown(bases: Path) -> None:
    documents = [np.array([CLS, *document[1:-1], SEP]) for document in DOCUMENTS]
    windows = list(masked_windows(documents, 16, MASK, range(6), 0.3, 1))
    for window, again in zip(windows, masked_windows(documents, 16, MASK, range(6), 0.3, 1), strict=True):
        assert np.array_equal(window.ids, again.ids)
        assert np.array_equal(window.ids == MASK, window.labels != IGNORED)
    for index, document in enumerate(documents):
        mine = [window for window in windows if window.document == index]
        whole = np.concatenate([np.where(window.labels == IGNORED, window.ids, window.labels) for window in mine])
        assert np.array_equal(whole, document)
    shown = np.concatenate([window.ids for window in windows])
    assert (shown == MASK).mean() == pytest.approx(0.3, abs=0.12)
    model = AutoModelForMaskedLM.from_pretrained(bases / "bert").eval()
    together, alone = (losses(model, windows, len(documents), PAD, size) for size in (5, 1))
    assert together == pytest.approx(alone, rel=1e-4)
    assert together.sum() / (shown == MASK).sum() == pytest.approx(np.log(420), abs=0.7)
