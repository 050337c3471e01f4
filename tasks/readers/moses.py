"""Parallel text (two files, line n of one translates line n of the other) in; sentence pairs out."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from model.errors import UserError
from tasks.intake.lines import lines_of
from tasks.readers import Refused, Row


def read(files: Sequence[Path], source_lang: str, target_lang: str, encoding: str = "utf-8-sig") -> Iterator[Row | Refused]:
    """Rows of `source`, `target` and their languages from each pair NAME.<source_lang>, NAME.<target_lang>; empty lines are left out."""
    sources = {file.with_suffix(""): file for file in files if file.suffix == f".{source_lang}"}
    targets = {file.with_suffix(""): file for file in files if file.suffix == f".{target_lang}"}
    if not sources or sources.keys() != targets.keys():
        raise UserError(f"reader moses: files .{source_lang} and .{target_lang} do not pair up; name both of each pair")
    for name, file in sources.items():
        yield from _pairs(file, targets[name], source_lang, target_lang, encoding)


def _pairs(file: Path, other: Path, source_lang: str, target_lang: str, encoding: str) -> Iterator[Row | Refused]:
    lengths = [0, 0]
    for left, right in zip_longest(lines_of(file, encoding), lines_of(other, encoding)):
        lengths = [lengths[0] + (left is not None), lengths[1] + (right is not None)]
        if left is None or right is None:
            continue
        if isinstance(left, Refused) or isinstance(right, Refused):
            yield left if isinstance(left, Refused) else right  # type: ignore[misc]
        elif left.text.strip() and right.text.strip():
            yield {"source": left.text.strip(), "target": right.text.strip(), "source_lang": source_lang, "target_lang": target_lang}
    if lengths[0] != lengths[1]:
        raise UserError(f"{file.name}: {lengths[0]} lines, but {other.name} has {lengths[1]}; they must be parallel")
