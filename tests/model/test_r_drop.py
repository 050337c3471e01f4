"""Two passes with dropout: what they disagree in is priced, and falls."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model import applications
from model.backbone import build
from model.features import Special, padded, token_ids
from model.losses import Batch, head_logits, head_loss, labelled_logits, language_loss
from model.r_drop import disagreement, r_drop

FILMS = ["This film is a warm and funny delight", "A dull, slow, terrible waste of time", "I loved every minute of it"]


@pytest.fixture
def films(tokenizer) -> Batch:
    ids = token_ids(tokenizer, FILMS)
    return padded([{"input_ids": one, "labels": label} for one, label in zip(ids, (1, 0, 1), strict=True)], Special.of(tokenizer).pad)


def classifier(bases: Path, dropout: float) -> torch.nn.Module:
    torch.manual_seed(3)
    model = applications.load("sentiment").open_model(bases / "bert", ["negative", "positive"], dropout)
    torch.nn.init.normal_(model.classifier.weight, std=1.0)
    return model.train()


def two_passes(model: torch.nn.Module, films: Batch) -> list[Tensor]:
    with torch.no_grad():
        return [head_logits(model, films)[0].log_softmax(-1) for _ in range(2)]


def test_the_loss_is_the_mean_of_both_and_the_weighed_divergence_both_ways(bases: Path, films: Batch) -> None:
    model = classifier(bases, 0.3)
    torch.manual_seed(1)
    one, other = two_passes(model, films)
    expected = 0.0
    for row, label in enumerate(films["labels"].tolist()):
        expected -= float(one[row, label] + other[row, label]) / 2
        expected += 5.0 * sum(float((one[row, c].exp() - other[row, c].exp()) * (one[row, c] - other[row, c])) for c in (0, 1)) / 2
    torch.manual_seed(1)
    total, count = r_drop(head_logits, 5.0, label_smoothing=0.0)(model, films)
    assert float(total.detach()) == pytest.approx(expected, rel=1e-5)
    assert int(count) == 3


def test_without_dropout_it_is_the_plain_loss(bases: Path, films: Batch) -> None:
    model = classifier(bases, 0.0)
    total, _ = r_drop(head_logits, 5.0, label_smoothing=0.1)(model, films)
    assert float(total) == pytest.approx(float(head_loss(model, films, label_smoothing=0.1)[0]), rel=1e-6)
    decoder = build(
        "llama", vocab_size=420, context=64, hidden_size=16, num_layers=1, num_heads=2, intermediate_size=24, dropout=0.0, seed=1
    )
    batch = {"input_ids": films["input_ids"], "labels": films["input_ids"], "documents": films["attention_mask"] - 1}
    total, count = r_drop(labelled_logits, 5.0, label_smoothing=0.1)(decoder, batch)
    plain, number = language_loss(decoder, batch, label_smoothing=0.1)
    assert float(total) == pytest.approx(float(plain), rel=1e-5)
    assert int(count) == int(number)


def test_passes_over_real_tokens_come_to_agree(bases: Path, films: Batch) -> None:
    twice = {name: torch.cat([values, values]) for name, values in films.items()}
    twice["labels"] = torch.tensor([0, 0, 0, 1, 1, 1])  # nobody can be sure, and so agree by being sure
    apart = []
    for weight in (0.0, 10.0):
        model = classifier(bases, 0.3)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        loss = r_drop(head_logits, weight, label_smoothing=0.0)
        for _ in range(20):
            loss(model, twice)[0].backward()
            optimizer.step()
            optimizer.zero_grad()
        torch.manual_seed(1)
        apart.append(sum(float(disagreement(*two_passes(model, twice))) for _ in range(20)))
    assert apart[1] < 0.5 * apart[0]


def test_places_beyond_a_text_are_left_out_of_the_divergence() -> None:
    first = torch.tensor([[1.0, 2.0, -math.inf]], requires_grad=True)
    second = torch.tensor([[2.0, 1.0, -math.inf]])
    total = disagreement(first, second)
    total.backward()
    assert float(total) == pytest.approx(float(disagreement(first[:, :2], second[:, :2])))
    assert first.grad is not None
    assert first.grad[0, :2].abs().min() > 0
    assert first.grad[0, 2] == 0
