import math

import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification, BertConfig, PreTrainedModel

from model.backbone import DECODERS, ENCODERS, build
from model.losses import head_loss, language_loss, language_metrics, mean_loss
from model.packing import causal_labels
from model.vocabulary import IGNORED


def base(architecture: str) -> PreTrainedModel:
    sizes = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 24, "dropout": 0.0}
    return build(architecture, vocab_size=40, context=16, seed=1, **sizes).eval()


TOKENS = torch.randint(6, 40, (3, 12), generator=torch.Generator().manual_seed(0))
DOCUMENTS = torch.tensor([[0] * 5 + [1] * 7, [0] * 12, [0] * 3 + [1] * 6 + [-1] * 3])


@pytest.mark.parametrize("architecture", DECODERS)
@torch.no_grad()
def test_a_decoders_loss_is_minus_the_log_probability_of_each_token_given_those_before_it(architecture: str) -> None:
    model = base(architecture)
    total, count = 0.0, 0
    for row in range(len(TOKENS)):
        for document in range(int(DOCUMENTS[row].max()) + 1):
            alone = TOKENS[row, DOCUMENTS[row] == document]
            for place in range(1, len(alone)):
                probabilities = model(input_ids=alone[None, :place]).logits[0, -1].softmax(dim=-1)
                total -= math.log(probabilities[alone[place]])
                count += 1
    batch = {"input_ids": TOKENS, "documents": DOCUMENTS, "labels": causal_labels(TOKENS, DOCUMENTS)}
    loss, labels = language_loss(model, batch)
    assert int(labels) == count == 4 + 6 + 11 + 2 + 5
    assert float(loss) == pytest.approx(total, rel=1e-5)
    assert mean_loss(model, [batch], language_loss) == pytest.approx(total / count, rel=1e-5)


@pytest.mark.parametrize("architecture", ENCODERS)
@torch.no_grad()
def test_an_encoders_loss_is_minus_the_log_probability_of_the_masked_tokens(architecture: str) -> None:
    model = base(architecture)
    labels = torch.full_like(TOKENS, IGNORED)
    labels[0, 3], labels[1, 0], labels[1, 11] = 9, 17, 25
    logits = model(input_ids=TOKENS).logits.log_softmax(dim=-1)
    loss, count = language_loss(model, {"input_ids": TOKENS, "labels": labels})
    assert int(count) == 3
    assert float(loss) == pytest.approx(-float(logits[0, 3, 9] + logits[1, 0, 17] + logits[1, 11, 25]), rel=1e-5)


@pytest.mark.parametrize("architecture", ENCODERS + DECODERS)
@torch.no_grad()
def test_the_mean_is_the_one_that_the_model_reports(architecture: str) -> None:
    model = base(architecture)
    labels = TOKENS.masked_fill(TOKENS % 3 == 0, IGNORED)
    batch = {"input_ids": TOKENS, "labels": labels}
    assert mean_loss(model, [batch], language_loss) == pytest.approx(float(model(**batch).loss), rel=1e-5)


@torch.no_grad()
def test_the_metrics_weigh_labels_and_not_batches() -> None:
    model = base("llama")
    batches = [{"input_ids": rows, "labels": rows} for rows in (TOKENS[:1, :4], TOKENS)]
    values = language_metrics(model, batches)
    sums = [language_loss(model, batch) for batch in batches]
    assert values["validation_loss"] == pytest.approx(sum(float(total) for total, _ in sums) / (3 + 33), rel=1e-5)
    right = sum(int((model(input_ids=b["input_ids"]).logits[:, :-1].argmax(-1) == b["labels"][:, 1:]).sum()) for b in batches)
    assert values["validation_accuracy"] == right / 36


@torch.no_grad()
def test_classes_and_spans_have_the_loss_that_their_models_report() -> None:
    config = BertConfig(vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24, num_labels=3)
    torch.manual_seed(0)
    classifier = AutoModelForSequenceClassification.from_config(config).eval()
    batch = {"input_ids": TOKENS, "labels": torch.tensor([0, 2, 1])}
    assert mean_loss(classifier, [batch], head_loss) == pytest.approx(float(classifier(**batch).loss), rel=1e-5)
    config.num_labels = 2
    reader = AutoModelForQuestionAnswering.from_config(config).eval()
    batch = {"input_ids": TOKENS, "attention_mask": torch.ones_like(TOKENS)}
    batch |= {"start_positions": torch.tensor([1, 0, 4]), "end_positions": torch.tensor([3, 0, 9])}
    assert mean_loss(reader, [batch], head_loss) == pytest.approx(float(reader(**batch).loss), rel=1e-5)
