"""How a causal model goes on: prompts in, tokens out, by a strategy with a name; whole batches, or one text as it grows."""

from collections.abc import Iterator, Sequence
from typing import get_args, get_type_hints

import numpy as np
import torch
from torch import Tensor
from transformers import (
    DynamicCache,
    GenerationConfig,
    LogitsProcessorList,
    MinPLogitsWarper,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from .errors import UserError
from .features import Special, by_length, token_ids
from .params import Decoding

STRATEGIES: tuple[str, ...] = get_args(get_type_hints(Decoding)["strategy"])

REPLACEMENT = "\ufffd"  # what half a UTF-8 character decodes to


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    decoding: Decoding,
    stop: set[int],
    batch_size: int,
) -> list[list[int]]:
    """The tokens after each prompt, without the one of `stop` that ended them.

    Drawn tokens depend on `decoding.seed` and the prompt's place alone, so another `batch_size` draws the same.

    Raises:
        UserError: the strategy is unknown or lacks its number, or a prompt fills the model's context.
    """
    _check(decoding)
    limits = [_limit(model, prompt, decoding) for prompt in prompts]
    pad = Special.of(tokenizer).pad
    told: list[list[int]] = [[] for _ in prompts]
    for indices in by_length([len(prompt) for prompt in prompts], batch_size):
        batch, limit = [prompts[at] for at in indices], [limits[at] for at in indices]
        if decoding.strategy == "beam":
            answers = _beams(model, batch, limit, decoding, stop, pad)
        else:
            answers = _collect(_steps(model, batch, indices, limit, decoding, pad), limit, stop)
        for at, answer in zip(indices, answers, strict=True):
            told[at] = answer
    return told


def stream(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, decoding: Decoding) -> Iterator[str]:
    """What the model writes after `prompt`, piece by piece and never half a character; beams arrive at once, when they are done.

    Raises:
        UserError: as `generate`.
    """
    _check(decoding)
    special = Special.of(tokenizer)
    ids = [special.end, *token_ids(tokenizer, [prompt])[0]]
    if decoding.strategy == "beam":
        yield text_of(tokenizer, generate(model, tokenizer, [ids], decoding, {special.end}, 1)[0])
        return
    limit = _limit(model, ids, decoding)
    written, shown = [], ""
    for (token,) in _steps(model, [ids], [0], [limit], decoding, special.pad):
        if token == special.end:
            break
        written.append(token)
        text = text_of(tokenizer, written)
        if not text.endswith(REPLACEMENT) and len(text) > len(shown):
            yield text[len(shown) :]
            shown = text
    if rest := text_of(tokenizer, written)[len(shown) :]:
        yield rest


def text_of(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The text of generated tokens, without special ones."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))


@torch.inference_mode()
def _steps(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], places: Sequence[int], limits: Sequence[int], decoding: Decoding, pad: int
) -> Iterator[list[int]]:
    """The next token of every prompt, `max(limits)` times; keys and values of what was read are kept."""
    model.eval()
    ids, mask = _left_padded(prompts, pad, model.device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    processors = _processors(decoding)
    generators = [_generator(decoding.seed, place, model.device) for place in places]
    cache = DynamicCache(config=model.config)
    for _ in range(max(limits)):
        outputs = model(input_ids=ids, attention_mask=mask, position_ids=positions, cache=cache, use_cache=True, logits_to_keep=1)
        scores = processors(ids, outputs.logits[:, -1].float())  # type: ignore[arg-type]
        ids = _choose(scores, decoding, generators)
        yield ids[:, 0].tolist()
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=-1)
        positions = (positions[:, -1:] + 1).clamp(max=model.config.max_position_embeddings - 1)  # of rows that have ended


def _collect(steps: Iterator[list[int]], limits: Sequence[int], stop: set[int]) -> list[list[int]]:
    """The tokens of each row up to its limit or its stop; asks for no step that no row needs."""
    told: list[list[int]] = [[] for _ in limits]
    going = set(range(len(limits)))
    for tokens in steps:
        for row in sorted(going):
            if tokens[row] in stop:
                going.discard(row)
                continue
            told[row].append(tokens[row])
            if len(told[row]) == limits[row]:
                going.discard(row)
        if not going:
            break
    return told


@torch.inference_mode()
def _beams(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], limits: Sequence[int], decoding: Decoding, stop: set[int], pad: int
) -> list[list[int]]:
    """The likeliest of `num_beams` continuations of each prompt, by Transformers' own search."""
    model.eval()
    ids, mask = _left_padded(prompts, pad, model.device)
    config = GenerationConfig(
        num_beams=decoding.num_beams,
        max_new_tokens=min(limits),
        do_sample=False,
        early_stopping=True,
        eos_token_id=sorted(stop),
        pad_token_id=pad,
    )
    sequences = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)  # type: ignore[operator]
    return [_until(row, stop) for row in sequences[:, ids.shape[1] :].tolist()]


def _choose(scores: Tensor, decoding: Decoding, generators: Sequence[torch.Generator]) -> Tensor:
    """One token (rows, 1) from scores (rows, vocabulary)."""
    if decoding.strategy == "greedy":
        return scores.argmax(-1, keepdim=True)
    chances = scores.softmax(-1)
    return torch.stack([torch.multinomial(row, 1, generator=generator) for row, generator in zip(chances, generators, strict=True)])


def _processors(decoding: Decoding) -> LogitsProcessorList:
    """What a strategy does to the scores before a token is drawn: top-k (Fan 2018), top-p (Holtzman 2020), min-p (Nguyen 2024)."""
    if decoding.strategy == "greedy":
        return LogitsProcessorList()
    temperature = TemperatureLogitsWarper(float(decoding.temperature))
    match decoding.strategy:
        case "top-k":
            return LogitsProcessorList([temperature, TopKLogitsWarper(decoding.top_k)])
        case "top-p":
            return LogitsProcessorList([temperature, TopPLogitsWarper(float(decoding.top_p))])
        case "min-p":
            return LogitsProcessorList([temperature, MinPLogitsWarper(float(decoding.min_p))])
    return LogitsProcessorList([temperature])


def _check(decoding: Decoding) -> None:
    if decoding.strategy not in STRATEGIES:
        raise UserError(f"strategy: {decoding.strategy!r} is unknown; there is {', '.join(STRATEGIES)}")
    if decoding.strategy == "beam" and decoding.num_beams < 2:
        raise UserError(f"num_beams: {decoding.num_beams} is no beam search; set 2 or more, or strategy greedy")
    if decoding.strategy == "top-k" and decoding.top_k < 1:
        raise UserError("top_k: 0 leaves no token to draw; set 1 or more, or strategy temperature")


def _limit(model: PreTrainedModel, prompt: Sequence[int], decoding: Decoding) -> int:
    room = model.config.max_position_embeddings - len(prompt)
    if room < 1:
        raise UserError(f"prompt: {len(prompt)} tokens, and the model's context is {model.config.max_position_embeddings}; shorten it")
    return min(decoding.max_new_tokens, room)


def _left_padded(prompts: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids and mask (rows, tokens); the padding is on the left, so that every row goes on at its end."""
    length = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[pad] * (length - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    mask = torch.tensor([[0] * (length - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
    return ids, mask


def _generator(seed: int, place: int, device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(int(np.random.SeedSequence((seed, place)).generate_state(1, np.uint64)[0]) >> 1)


def _until(tokens: list[int], stop: set[int]) -> list[int]:
    return tokens[: next((at for at, token in enumerate(tokens) if token in stop), len(tokens))]
