"""Parallel text (two files, line n of one translates line n of the other) in; sentence pairs out."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from model.errors import UserError
from tasks.readers import Row, lines_of


def read(files: Sequence[Path], source_lang: str, target_lang: str, encoding: str = "utf-8-sig") -> Iterator[Row]:
    """Rows of `source`, `target` and their languages from each pair NAME.<source_lang>, NAME.<target_lang>; empty lines are left out."""
    sources = {file.with_suffix(""): file for file in files if file.suffix == f".{source_lang}"}
    targets = {file.with_suffix(""): file for file in files if file.suffix == f".{target_lang}"}
    if not sources or sources.keys() != targets.keys():
        raise UserError(f"reader moses: files .{source_lang} and .{target_lang} do not pair up; name both of each pair")
    for name, file in sources.items():
        left, right = lines_of(file, encoding), lines_of(targets[name], encoding)
        if len(left) != len(right):
            raise UserError(f"{file.name}: {len(left)} lines, but {targets[name].name} has {len(right)}; they must be parallel")
        for source, target in zip(left, right, strict=True):
            if source.strip() and target.strip():
                yield {"source": source.strip(), "target": target.strip(), "source_lang": source_lang, "target_lang": target_lang}
