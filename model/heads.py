"""A base's checkpoint with the head of an application on it."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, PreTrainedModel

from .errors import UserError

DROPOUTS = (  # what the architectures call it
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "attention_dropout",
    "embedding_dropout",
    "mlp_dropout",
    "classifier_dropout",
    "resid_pdrop",
    "embd_pdrop",
    "attn_pdrop",
)


def open_head(auto: Any, folder: Path, dropout: float, **settings: Any) -> PreTrainedModel:
    """The model of `folder` as `auto` (an `AutoModelFor...`) makes it, in float32; a head it lacks is drawn from torch's seed.

    Raises:
        UserError: the folder has no checkpoint.
    """
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: no checkpoint there (config.json is missing); run the stage that makes it")
    config = AutoConfig.from_pretrained(folder)
    for name in DROPOUTS:
        if hasattr(config, name):
            setattr(config, name, dropout)
    if hasattr(config, "classifier_pooling"):
        config.classifier_pooling = "mean"  # ModernBERT's choice for a text's label; learns far sooner than from the first token alone
    for name, value in settings.items():
        setattr(config, name, value)
    return auto.from_pretrained(folder, config=config, dtype=torch.float32, attn_implementation="sdpa")


def pools(model: PreTrainedModel) -> bool:
    """Whether the head of `model` reads a whole text at once, and not each token."""
    return type(model).__name__.endswith("ForSequenceClassification")


def pooled(model: Any, hidden: Tensor, own: Tensor) -> Tensor:
    """Logits (texts, labels) of last hidden states (texts, tokens, hidden), as the model's own class pools a text's `own` tokens."""
    match model.config.model_type:
        case "bert":
            return model.classifier(model.dropout(model.bert.pooler(hidden)))
        case "roberta":
            return model.classifier(hidden)
        case "modernbert":
            mean = (hidden * own[..., None]).sum(1) / own.sum(1, keepdim=True)
            return model.classifier(model.drop(model.head(mean if model.config.classifier_pooling == "mean" else hidden[:, 0])))
        case _:
            return model.score(hidden[torch.arange(len(own), device=own.device), own.sum(1) - 1])


def names_of(labels: list[str]) -> dict[str, Any]:
    """The settings of a head with one output a label."""
    return {"id2label": dict(enumerate(labels)), "label2id": {label: index for index, label in enumerate(labels)}}


def labels_of(model: PreTrainedModel) -> list[str]:
    """The labels of a model's outputs, in their order."""
    config: Any = model.config
    return [name for _, name in sorted(config.id2label.items())]
