"""What stands around a prompt and after an answer: the tokenizer's chat template, or without one single special tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from .errors import UserError
from .features import Special

PROMPT, ANSWER = "the-prompt-stands-here", "the-answer-stands-here"
DAY = "{% macro strftime_now(format) %}26 Jul 2024{% endmacro %}{{ '' }}"  # a template that says what day it is says this: results last


@dataclass(frozen=True)
class Frame:
    """Tokens before a prompt, between prompt and answer, and after an answer; the last one of those ends it."""

    before: Sequence[int]
    between: Sequence[int]
    after: Sequence[int]
    stop: frozenset[int]  # what ends an answer when it is written

    @property
    def size(self) -> int:
        """Tokens besides prompt and answer."""
        return len(self.before) + len(self.between) + len(self.after)

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> "Frame":
        """That of a tokenizer's chat template, if it has one.

        The template is rendered once, around a mark, so a prompt cannot pose as part of it, and can be cut without harm to it.

        Raises:
            UserError: the template cannot be rendered, or does not put the prompt in once.
        """
        special = Special.of(tokenizer)
        if not tokenizer.chat_template:
            return cls([special.end], [special.separator], [special.end], frozenset({special.end, special.separator}))
        asked = [{"role": "user", "content": PROMPT}]
        before, _, between = _rendered(tokenizer, asked, begin=True).partition(PROMPT)
        whole = _rendered(tokenizer, [*asked, {"role": "assistant", "content": ANSWER}], begin=False)
        closing = _ids(tokenizer, whole.rpartition(ANSWER)[2])
        end = next((at for at, token in enumerate(closing) if token in tokenizer.all_special_ids), None)
        after = closing[: end + 1] if end is not None else [special.end]
        return cls(_ids(tokenizer, before), _ids(tokenizer, between), after, frozenset({after[-1], special.end}))


def settle(tokenizer: PreTrainedTokenizerBase, chat: bool) -> None:
    """Keep the chat template, or take it away: a tokenizer saved with one is one whose model was trained with it.

    Raises:
        UserError: it is wanted, and there is none.
    """
    if not chat:
        tokenizer.chat_template = None
    elif not tokenizer.chat_template:
        raise UserError(
            "params.yaml: finetuning.chat: the base's tokenizer has no chat template; set it to false, or begin from one that has"
        )


def _rendered(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]], begin: bool) -> str:
    from jinja2 import TemplateError

    template = DAY + tokenizer.get_chat_template()
    try:
        text = str(tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False, add_generation_prompt=begin))
    except TemplateError as error:
        raise UserError(f"params.yaml: finetuning.chat: the base's chat template fails ({error}); set it to false") from None
    for message in messages:
        if text.count(message["content"]) != 1:
            raise UserError("params.yaml: finetuning.chat: the base's chat template does not take a prompt and its answer; set it to false")
    return text


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] if text else []
