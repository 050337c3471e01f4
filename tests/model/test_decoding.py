from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from model.decoding import STRATEGIES, generate, stream, text_of
from model.errors import UserError
from model.features import token_ids
from model.params import Decoding
from model.vocabulary import END

DECODING = Decoding(max_new_tokens=10, strategy="greedy", num_beams=3, temperature=1.0, top_k=5, top_p=0.9, min_p=0.05, seed=3)


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def model(request: pytest.FixtureRequest, bases: Path):
    return AutoModelForCausalLM.from_pretrained(bases / request.param, dtype=torch.float32)


@pytest.fixture(scope="module")
def prompts(tokenizer) -> list[list[int]]:
    return [[END, *ids] for ids in token_ids(tokenizer, ["The bridge", "老师在花园里给了女孩一本书", "I"])]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy_gives_the_same_in_any_batch_and_again(strategy: str, model, tokenizer, prompts) -> None:
    decoding = replace(DECODING, strategy=strategy)
    together, alone, again = (generate(model, tokenizer, prompts, decoding, {END}, size) for size in (3, 1, 3))
    assert together == alone == again
    assert [0 < len(ids) <= 10 for ids in together] == [True] * 3


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_stream_is_the_text_of_the_whole(strategy: str, model, tokenizer) -> None:
    decoding = replace(DECODING, strategy=strategy, temperature=3.0)  # hot: bytes that are no characters
    ids = generate(model, tokenizer, [[END, *token_ids(tokenizer, ["大桥"])[0]]], decoding, {END}, 1)[0]
    assert "".join(stream(model, tokenizer, "大桥", decoding)) == text_of(tokenizer, ids)


def test_a_stream_never_shows_half_a_character(bases: Path, tokenizer) -> None:
    model = AutoModelForCausalLM.from_pretrained(bases / "llama", dtype=torch.float32)
    ids = token_ids(tokenizer, ["龘龘"])[0]  # rare: a token for each byte
    assert len(ids) == 6
    logits = torch.full((12, 420), -100.0)
    logits[range(6), ids] = 100.0
    logits[6:, END] = 100.0
    answers = iter(logits)
    model.register_forward_hook(lambda module, inputs, output: setattr(output, "logits", next(answers)[None, None]) or output)
    assert list(stream(model, tokenizer, "a", DECODING)) == ["龘", "龘"]


def test_greedy_takes_the_likeliest_token_of_the_whole_text_so_far(model, tokenizer, prompts) -> None:
    ids = list(prompts[0])
    with torch.inference_mode():
        for _ in range(10):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    assert generate(model, tokenizer, prompts, DECODING, set(), 3)[0] == ids[len(prompts[0]) :]


def test_beams_find_a_likelier_text_than_greed(model, tokenizer, prompts) -> None:
    def likelihood(answer: list[int]) -> float:
        ids = torch.tensor([prompts[0] + answer])
        chances = model(ids).logits[0].log_softmax(-1)
        return float(chances[torch.arange(ids.shape[1] - 1), ids[0, 1:]][-len(answer) :].sum())

    with torch.inference_mode():
        greedy = generate(model, tokenizer, prompts[:1], DECODING, set(), 1)[0]
        beam = generate(model, tokenizer, prompts[:1], replace(DECODING, strategy="beam", num_beams=8), {END}, 1)[0]
        assert likelihood(beam) >= likelihood(greedy) - 1e-4


def test_drawn_tokens_change_with_the_seed_and_stay_among_the_top(model, tokenizer, prompts) -> None:
    draws = {tuple(generate(model, tokenizer, prompts[:1], replace(DECODING, strategy="top-k", seed=s), set(), 1)[0]) for s in range(4)}
    assert len(draws) == 4
    single = replace(DECODING, strategy="top-k", top_k=1)
    assert generate(model, tokenizer, prompts, single, set(), 3) == generate(model, tokenizer, prompts, DECODING, set(), 3)
    cold = replace(DECODING, strategy="temperature", temperature=1e-4)
    assert generate(model, tokenizer, prompts, cold, set(), 3) == generate(model, tokenizer, prompts, DECODING, set(), 3)


def test_an_answer_ends_before_its_stop(model, tokenizer, prompts) -> None:
    whole = generate(model, tokenizer, prompts[:1], DECODING, set(), 1)[0]
    stop = whole[-1]
    assert generate(model, tokenizer, prompts[:1], DECODING, {stop}, 1)[0] == whole[: whole.index(stop)]


def test_an_answer_ends_with_the_context(model, tokenizer) -> None:
    longest = [END] + [40] * 124
    told = generate(model, tokenizer, [longest, [END, 41]], DECODING, set(), 2)
    assert [len(ids) for ids in told] == [3, 10]
    with pytest.raises(UserError, match="prompt: 128 tokens, and the model's context is 128; shorten it"):
        generate(model, tokenizer, [[END] * 128], DECODING, set(), 1)


def test_no_prompts_give_no_answers(model, tokenizer) -> None:
    assert generate(model, tokenizer, [], DECODING, {END}, 4) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategy": "nucleus"}, "strategy: 'nucleus' is unknown; there is greedy, beam, temperature, top-k, top-p, min-p"),
        ({"strategy": "beam", "num_beams": 1}, "num_beams: 1 is no beam search; set 2 or more"),
        ({"strategy": "top-k", "top_k": 0}, "top_k: 0 leaves no token to draw; set 1 or more"),
    ],
)
def test_a_strategy_that_cannot_be_is_refused(changes: dict, message: str, model, tokenizer) -> None:
    with pytest.raises(UserError, match=message):
        generate(model, tokenizer, [[END]], replace(DECODING, **changes), {END}, 1)
    with pytest.raises(UserError, match=message):
        next(stream(model, tokenizer, "a", replace(DECODING, **changes)))
