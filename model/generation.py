"""What applications that write text share: the head, prompt and answer as one sequence, and the predictor."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UserError
from .vocabulary import IGNORED

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from .params import Decoding

Feature = Mapping[str, Any]


def open_model(folder: Path, labels: Sequence[str], dropout: float) -> "PreTrainedModel":
    """The causal language model of `folder`.

    Raises:
        UserError: the base predicts masked tokens and cannot write.
    """
    from transformers import AutoModelForCausalLM

    from .backbone import is_decoder
    from .heads import open_head

    model = open_head(AutoModelForCausalLM, folder, dropout)
    if not is_decoder(model.config):
        raise UserError(f"{folder}: an encoder cannot write text; give this application `base: decoder` in params.yaml")
    return model


def labels(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """None: the answer is free text."""
    return []


def encode(pairs: Sequence[tuple[str, str]], tokenizer: "PreTrainedTokenizerBase", context: int, shorten: bool) -> list[Feature]:
    """(prompt, answer) as `input_ids` and `labels`; the labels of the prompt are ignored, so the loss is on the answer and its end.

    A pair too long for `context` tokens gives nothing, or with `shorten` the beginning of its prompt if the answer leaves it half the room.
    """
    from .chat import Frame
    from .features import token_ids

    frame = Frame.of(tokenizer)
    prompts, answers = (token_ids(tokenizer, [pair[side] for pair in pairs]) for side in (0, 1))
    features: list[Feature] = []
    for prompt, answer in zip(prompts, answers, strict=True):
        room = context - len(answer) - frame.size
        if len(prompt) > room and not (shorten and room >= context // 2):
            continue
        asked = [*frame.before, *prompt[: max(room, 0)], *frame.between]
        told = [*answer, *frame.after]
        features.append({"input_ids": asked + told, "labels": [IGNORED] * len(asked) + told})
    return features


def direction_prompt(text: str, source_lang: str, target_lang: str) -> str:
    """What a translation model reads before it answers."""
    return f"{source_lang} > {target_lang}: {text}"


def answer(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[str],
    context: int,
    batch_size: int,
    decoding: "Decoding",
) -> list[str]:
    """What the model writes after each prompt; the end of a prompt that leaves no room for an answer in `context` is cut."""
    from .chat import Frame
    from .decoding import generate, text_of
    from .features import token_ids

    frame = Frame.of(tokenizer)
    room = max(0, max(context - decoding.max_new_tokens, context // 2) - len(frame.before) - len(frame.between))
    asked = [[*frame.before, *prompt[:room], *frame.between] for prompt in token_ids(tokenizer, prompts)]
    told = generate(model, tokenizer, asked, decoding, set(frame.stop), batch_size)
    return [text_of(tokenizer, ids).strip() for ids in told]
