"""Documents are named by their first words, each once, and not more of them than a person reads."""

import numpy as np

from tasks.openings import openings


def test_each_document_of_a_batch_is_quoted_by_its_first_words(tokenizer) -> None:
    texts = ["The bridge was opened in 1932 and carries two railway tracks over the river", "你可以直接返回一个响应。"]
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    row = [tokenizer.cls_token_id, *ids[0], *ids[1], tokenizer.pad_token_id]
    documents = [0] * (1 + len(ids[0])) + [1] * len(ids[1]) + [-1]
    first, second = openings(tokenizer, np.array([row]), np.array([documents])).split(", ")
    assert first.startswith('"The bridge was')
    assert first.endswith('..."')
    assert texts[0] not in first
    assert second.startswith('"你可以')


def test_a_long_list_is_cut_and_says_so(tokenizer) -> None:
    ids = tokenizer(["warm"] * 9, add_special_tokens=False)["input_ids"]
    said = openings(tokenizer, np.array(ids), np.zeros_like(np.array(ids)))
    assert said == ", ".join(['"warm..."'] * 6) + " and 3 more"
