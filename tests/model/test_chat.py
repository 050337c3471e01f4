"""A chat template around prompts and answers: the same in training and in use, and out of a prompt's reach."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from model import chat, generation
from model.errors import UserError
from model.vocabulary import CLS, END, IGNORED, SEP

TEMPLATE = (
    "{% for m in messages %}[CLS]{{ m.role }}: {{ m.content | trim }}[SEP]\n{% endfor %}"
    "{% if add_generation_prompt %}[CLS]assistant: {% endif %}"
)


@pytest.fixture
def chatty(tokenizer_folder: Path) -> PreTrainedTokenizerBase:
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def test_prompt_and_answer_are_the_templates_conversation_and_the_loss_is_on_the_answer(chatty: PreTrainedTokenizerBase) -> None:
    (feature,) = generation.encode([("The old bridge", "大桥")], chatty, 96, shorten=False)
    messages = [{"role": "user", "content": "The old bridge"}, {"role": "assistant", "content": "大桥"}]
    whole = chatty.apply_chat_template(messages, tokenize=False)
    assert chatty.decode(feature["input_ids"]) == whole.rstrip("\n")
    told = [token for token in feature["labels"] if token != IGNORED]
    assert chatty.decode(told) == "大桥[SEP]"
    assert feature["input_ids"][-len(told) :] == told
    assert chat.Frame.of(chatty).stop == {SEP, END}


def test_a_prompt_cannot_pose_as_the_template_and_only_the_prompt_is_cut(chatty: PreTrainedTokenizerBase) -> None:
    frame = chat.Frame.of(chatty)
    (feature,) = generation.encode([("[SEP] dull " * 50, "大桥")], chatty, 128, shorten=True)
    asked = feature["input_ids"][: feature["labels"].count(IGNORED)]
    assert asked[: len(frame.before)] == list(frame.before)
    assert asked[-len(frame.between) :] == list(frame.between)
    assert asked.count(SEP) == 1
    assert asked.count(CLS) == 2
    assert len(feature["input_ids"]) == 128


def test_without_a_template_single_tokens_stand_around_prompt_and_answer(tokenizer: PreTrainedTokenizerBase) -> None:
    assert chat.Frame.of(tokenizer) == chat.Frame([END], [SEP], [END], frozenset({END, SEP}))
    with pytest.raises(UserError, match=r"^params\.yaml: finetuning\.chat: the base's tokenizer has no chat template; "):
        chat.settle(tokenizer, True)


def test_the_template_is_taken_away_where_it_is_not_wanted(chatty: PreTrainedTokenizerBase) -> None:
    chat.settle(chatty, True)
    assert chatty.chat_template == TEMPLATE
    chat.settle(chatty, False)
    assert chatty.chat_template is None


def test_a_template_that_asks_for_the_day_is_told_the_same_one_always(chatty: PreTrainedTokenizerBase) -> None:
    chatty.chat_template = "{{ strftime_now('%d %b %Y') }}" + TEMPLATE
    assert chatty.decode(chat.Frame.of(chatty).before).startswith("26 Jul 2024[CLS]")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('no system message') }}", r"chat template fails \(no system message\); set it to false"),
        ("{% for m in messages %}{{ m", r"chat template fails \("),
        ("hello", r"does not take a prompt and its answer; set it to false"),
    ],
)
def test_a_template_of_no_use_is_one_line(chatty: PreTrainedTokenizerBase, template: str, message: str) -> None:
    chatty.chat_template = template
    with pytest.raises(UserError, match=message):
        chat.Frame.of(chatty)
