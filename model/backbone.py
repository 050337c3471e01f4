"""A base from its numbers: Transformers' own classes with a language modelling head, in float32, with SDPA attention."""

from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertConfig,
    GPT2Config,
    LlamaConfig,
    ModernBertConfig,
    PreTrainedConfig,
    PreTrainedModel,
    RobertaConfig,
)

from .architectures import DECODERS, ENCODERS
from .errors import UserError
from .vocabulary import CLS, END, MASK, PAD, SEP


def build(
    architecture: str,
    *,
    vocab_size: int,
    context: int,
    hidden_size: int,
    num_layers: int,
    num_heads: int,
    intermediate_size: int,
    dropout: float,
    seed: int,
) -> PreTrainedModel:
    """A base with fresh weights drawn from `seed`; `context` is the longest sequence it accepts, in tokens.

    Raises:
        UserError: the architecture is unknown, or the heads do not divide the hidden size.
    """
    if hidden_size % num_heads:
        raise UserError(f"params.yaml: num_heads: {num_heads} does not divide hidden_size {hidden_size}; change one of them")
    sizes: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": hidden_size,
        "num_hidden_layers": num_layers,
        "num_attention_heads": num_heads,
    }
    config = _config(architecture, sizes, context, intermediate_size, dropout)
    torch.manual_seed(seed)
    auto = AutoModelForCausalLM if is_decoder(config) else AutoModelForMaskedLM
    return auto.from_config(config, attn_implementation="sdpa", dtype=torch.float32)


def is_decoder(config: PreTrainedConfig) -> bool:
    """Whether a model of this config predicts each token from those before it."""
    return config.model_type not in ENCODERS


def head(model: Any, hidden: Tensor) -> Tensor:
    """Logits (..., vocabulary) of hidden states (..., hidden): the head that `model` itself puts on its last layer."""
    match model.config.model_type:
        case "bert":
            return model.cls(hidden)
        case "roberta":
            return model.lm_head(hidden)
        case "modernbert":
            return model.decoder(model.head(hidden))
        case _:
            return model.get_output_embeddings()(hidden)


def _config(architecture: str, sizes: dict[str, Any], context: int, intermediate_size: int, dropout: float) -> PreTrainedConfig:
    bert: dict[str, Any] = {"intermediate_size": intermediate_size, "hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    ends = {"cls_token_id": CLS, "sep_token_id": SEP, "bos_token_id": CLS, "eos_token_id": SEP}
    encoder: dict[str, Any] = {"pad_token_id": PAD, "mask_token_id": MASK, **ends}
    decoder: dict[str, Any] = {"pad_token_id": PAD, "bos_token_id": END, "eos_token_id": END, "tie_word_embeddings": True}
    match architecture:
        case "bert":
            return BertConfig(**sizes, **bert, **encoder, max_position_embeddings=context)
        case "roberta":  # its positions start after the padding id
            return RobertaConfig(**sizes, **bert, **encoder, max_position_embeddings=context + PAD + 1, type_vocab_size=1)
        case "modernbert":
            return ModernBertConfig(
                **sizes,
                **encoder,
                intermediate_size=intermediate_size,
                max_position_embeddings=context,
                attention_dropout=dropout,
                embedding_dropout=dropout,
                mlp_dropout=dropout,
                classifier_dropout=dropout,
            )
        case "gpt2":
            return GPT2Config(
                **sizes,
                **decoder,
                n_inner=intermediate_size,
                n_positions=context,
                resid_pdrop=dropout,
                embd_pdrop=dropout,
                attn_pdrop=dropout,
            )
        case "llama":
            return LlamaConfig(
                **sizes, **decoder, intermediate_size=intermediate_size, max_position_embeddings=context, attention_dropout=dropout
            )
    raise UserError(f"params.yaml: architecture: {architecture!r} is unknown; there is {', '.join(ENCODERS + DECODERS)}")
