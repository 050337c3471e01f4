"""The corpus steps of `prepare` as one would write them in an afternoon: `datasets.map` and `filter` a row at a time, and `datasketch`.

What the steps look for is the same: languages and personal data are found by the same functions, the numbers are those of params.yaml.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from model.words import segment
from tasks import params, tables
from tasks.cleaning import boilerplate, languages, personal, quality
from tasks.cleaning import text as cleaning
from tasks.cleaning.contamination import texts_of
from tasks.intake.splits import split_of
from tasks.prepare import Params

WORD = re.compile(r"[^\W_\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")
CHARACTER = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
PIECE = re.compile(r"[\u3040-\u9fff]|[^\s\u3040-\u9fff]+|\s+")  # a character, a word, or what parts words

Row = dict[str, Any]


def prepare(data: Path, out: Path) -> int:
    """How many documents are left."""
    import datasets
    from datasketch import MinHash, MinHashLSH

    numbers = params.build(Params, params.section(params.read(Path("params.yaml")), "prepare"), "prepare")
    datasets.disable_caching()
    datasets.disable_progress_bars()
    files = sorted(str(file) for file in (data / "corpus").glob("*.parquet"))
    rows = datasets.Dataset.from_parquet(files, cache_dir=str(out / "cache"))

    rows = rows.map(lambda row: {"text": cleaning.normalize(row["text"])[: numbers.length.max_characters]})
    rows = rows.filter(lambda row: len(row["text"]) >= numbers.length.min_characters)

    counts, documents = _lines(rows)
    kept: set[tuple[str, str]] = set()
    rows = rows.map(lambda row: {"text": _stripped(row, counts, documents, kept, numbers.boilerplate)})
    rows = rows.filter(lambda row: bool(row["text"]))

    rows = rows.map(lambda row: dict(zip(("lang", "why"), languages.verdict(row["text"], row["lang"], numbers.language), strict=True)))
    rows = rows.filter(lambda row: row["why"] is None)
    rows = rows.filter(lambda row: is_good(row["text"], row["lang"], numbers.quality))
    rows = rows.map(lambda row: {"text": personal.mask(row["text"], numbers.personal.kinds)[0]})

    seen: set[str] = set()
    rows = rows.filter(lambda row: _is_new(row["text"], seen))
    held_out = _held_out(data, numbers)
    rows = rows.filter(lambda row: held_out.isdisjoint(_passages([row["text"]], numbers)))

    rules = numbers.near_duplicates
    index = MinHashLSH(num_perm=rules.bands * rules.rows, params=(rules.bands, rules.rows))

    def sketch(row: Row) -> Row:
        minhash = MinHash(num_perm=rules.bands * rules.rows, seed=1, scheme="affine32")
        minhash.update_batch([run.encode() for run in runs(row["text"], rules.words, rules.characters)])
        return {"hashes": minhash.hashvalues}

    def is_first(row: Row, number: int) -> bool:
        minhash = MinHash(num_perm=rules.bands * rules.rows, seed=1, hashvalues=np.array(row["hashes"], np.uint32), scheme="affine32")
        if any(sketches[other].jaccard(minhash) >= rules.similarity for other in index.query(minhash)):
            return False
        sketches[number] = minhash
        index.insert(number, minhash)
        return True

    sketches: dict[int, MinHash] = {}
    rows = rows.map(sketch)
    rows = rows.filter(is_first, with_indices=True).remove_columns(["hashes", "why"])
    for split in ("train", "validation"):
        part = rows.filter(lambda row, split=split: split_of(row["text"], numbers.validation_share, 0.0) == split)
        part.to_parquet(str(out / f"{split}.parquet"))
    return len(rows)


def _lines(rows: Any) -> tuple[Counter[tuple[str, str]], Counter[str]]:
    """In how many documents of a source each line stands, and how many documents a source has."""
    counts: Counter[tuple[str, str]] = Counter()
    documents: Counter[str] = Counter()
    seen: set[str] = set()
    for row in rows:
        if _is_new(row["text"], seen):
            documents[row["source"]] += 1
            counts.update({(row["source"], line) for line in row["text"].split("\n") if line})
    return counts, documents


def _stripped(row: Row, counts: Counter[tuple[str, str]], documents: Counter[str], kept: set[tuple[str, str]], rules: Any) -> str:
    lines = []
    least = max(rules.min_documents, rules.min_share * documents[row["source"]])
    for line in row["text"].split("\n"):
        key = (row["source"], line)
        folded = line.casefold()
        if len(line) <= rules.max_navigation and any(phrase in folded for phrase in boilerplate.NAVIGATION):
            continue
        if line and counts[key] >= least:
            if key in kept and any(map(str.isalpha, line)):
                continue
            kept.add(key)
        lines.append(line)
    return "\n".join(lines).strip()


def is_good(text: str, lang: str, limits: quality.Quality) -> bool:
    """Gopher's ratios, counted with `Counter`."""
    words = segment(text) if lang == "zh" else text.split()
    if quality.of_words(text, words, lang, limits) or quality.of_lines(text, limits):
        return False
    if len(words) < limits.min_words:
        return True
    words = [word for piece in words for word in re.findall(r"[^\W_]+", piece.casefold())]
    total = sum(map(len, words))
    for size, limit in enumerate(limits.max_top_ngrams, 2):
        shares = (count * sum(map(len, gram)) for gram, count in Counter(_grams(words, size)).items() if count > 1)
        if max(shares, default=0) > limit * total:
            return False
    for size, limit in enumerate(limits.max_repeated_ngrams, 2 + len(limits.max_top_ngrams)):
        grams = list(_grams(words, size))
        often = Counter(grams)
        inside = {place + step for place, gram in enumerate(grams) if often[gram] > 1 for step in range(size)}
        if sum(len(words[place]) for place in inside) > limit * total:
            return False
    return True


def _grams(words: list[str], size: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(size)), strict=False)


def _is_new(text: str, seen: set[str]) -> bool:
    digest = hashlib.sha256(text.encode()).hexdigest()
    known = digest in seen
    seen.add(digest)
    return not known


def _held_out(data: Path, numbers: Params) -> set[str]:
    """The passages of test texts, without those that many of them have."""
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    for file in sorted(data.glob("*/test.parquet")):
        for row in tables.rows(file):
            for text in texts_of(row):
                clean = personal.mask(cleaning.normalize(text), numbers.personal.kinds)[0]
                if _is_new(clean, seen):
                    counts.update(_passages([clean], numbers))
    return {passage for passage, num_texts in counts.items() if num_texts <= numbers.test_splits.max_texts}


def _passages(texts: list[str], numbers: Params) -> set[str]:
    sizes = numbers.test_splits
    return {run for text in texts for run in runs(text, sizes.words, sizes.characters)}


def runs(text: str, num_words: int, num_characters: int) -> set[str]:
    """Each so many words, and each so many characters of scripts without spaces, in a row."""
    folded = text.casefold()
    words, characters = WORD.findall(folded), CHARACTER.findall(folded)
    found = {" ".join(words[start : start + num_words]) for start in range(len(words) - num_words + 1)}
    return found | {"".join(characters[start : start + num_characters]) for start in range(len(characters) - num_characters + 1)}
