"""Near-duplicates: what nearly repeats an earlier document is found, in any script and in batches of any size."""

import random

from benchmarks import near_duplicates as benchmark
from tasks import tables
from tasks.cleaning.near_duplicates import NearDuplicates, Signatures
from tasks.intake import columns

RULES = NearDuplicates(enabled=True, words=5, characters=8, bands=20, rows=6, similarity=0.8, max_candidates=50)


def repeated(texts, batch=3):
    signatures = Signatures(RULES)
    for start in range(0, len(texts), batch):
        signatures.add(texts[start : start + batch])
    return [(repetition.document, repetition.of) for repetition in signatures.repetitions()]


def story(seed, size=250):
    draw = random.Random(seed)
    return [f"w{draw.randrange(3000)}" for _ in range(size)]


def test_a_document_with_few_changes_repeats_the_first_like_it():
    words = story(1)
    texts = [" ".join(words), " ".join(story(2)), " ".join([*words[:150], "other", *words[151:]]), " ".join([*words, "end"])]
    assert repeated(texts) == [(2, 0), (3, 0)]
    assert repeated(texts, batch=1) == repeated(texts, batch=4) == [(2, 0), (3, 0)]


def test_chinese_is_compared_by_characters():
    draw = random.Random(3)
    text = "".join(chr(draw.randrange(0x4E00, 0x9FA5)) for _ in range(400))
    assert repeated([text, f"{text[:200]}，{text[201:]}", text[::-1]]) == [(1, 0)]


def test_texts_too_short_for_a_run_are_like_no_other():
    assert repeated(["one two", "one two", "", "。"]) == []
    assert repeated([]) == []


def test_half_a_text_is_no_near_duplicate():
    words = story(4)
    assert repeated([" ".join(words), " ".join(words[:150])]) == []


def test_recall_and_precision_against_exact_similarity(tmp_path):
    rows = [{"text": " ".join(story(seed)), "source": "s", "license": None, "lang": None} for seed in range(60)]
    tables.write(tmp_path / "s.parquet", rows, columns.corpus())
    found = benchmark.measure(benchmark.sample(tmp_path, 60, seed=1), RULES)
    assert found["exact"] > 40
    assert min(found["clear_recall"], found["clear_precision"]) > 0.98
    assert min(found["recall"], found["precision"]) > 0.9
