"""Passages of test splits planted into other texts, and texts that have nothing to do with them: how many of each are found.

`python -m benchmarks.contamination DATA [--texts 1000] [--seed 1]`. English: passages of news, 13 words long, with other case, spaces and
punctuation, in speeches. Chinese: passages of a newspaper, 20 characters long, with other punctuation, in reviews.
"""

import argparse
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tasks import params, prepare, tables
from tasks.cleaning.contamination import HeldOut, Overlap

WORD = re.compile(r"[^\W_]+")
HAN = re.compile(r"[\u4e00-\u9fff]")


def planted(tests: Sequence[str], others: Sequence[str], size: Overlap, lang: str, draw: random.Random) -> Iterator[str]:
    """Each of `others` with the shortest passage of one of `tests` inside."""
    pattern, length, between = (
        (HAN, size.characters, ("", "", "，", " ")) if lang == "zh" else (WORD, size.words, (" ", ", ", "  ", "\n", " - "))
    )
    for other in others:
        units = pattern.findall(draw.choice(tests))
        first = draw.randrange(len(units) - length + 1)
        passage = "".join(unit + draw.choice(between) for unit in units[first : first + length])
        place = draw.choice([found.end() for found in re.finditer(r"[.。！!]", other)] or [len(other)])
        yield f"{other[:place]} {draw.choice((str.upper, str.lower, str))(passage)} {other[place:]}"


def texts(file: Path, lang: str, length: int) -> list[str]:
    """The texts of a file that are long enough to hold a passage."""
    pattern = HAN if lang == "zh" else WORD
    return [row["text"] for row in tables.rows(file, ["text"]) if len(pattern.findall(row["text"])) >= length]


def main() -> None:
    """See the first lines of this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    size = params.build(prepare.Params, params.section(params.read(Path("params.yaml")), "prepare"), "prepare").test_splits
    draw = random.Random(given.seed)
    for lang, source, other in (("en", "news", "corpus/state-of-the-union"), ("zh", "peoples-daily", "sentiment/train")):
        tests, others = (
            draw.sample(found, min(given.texts, len(found)))
            for found in (texts(given.data / f"{file}.parquet", lang, 40) for file in (f"corpus/{source}", other))
        )
        held_out = HeldOut([("qa", [[text] for text in tests])], size)
        found, wrong = (
            sum(match is not None for match in held_out.find([[text] for text in looked_at]))
            for looked_at in (list(planted(tests, others, size, lang, draw)), others)
        )
        print(f"{lang}: {len(tests)} test texts, {found} of {len(others)} planted passages found, {wrong} of {len(others)} others")  # noqa: T201


if __name__ == "__main__":
    main()
