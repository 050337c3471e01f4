"""Files of several formats in; what the reader of each, chosen by its content, finds, out."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from tasks import readers
from tasks.intake import detection
from tasks.readers import Refused, Row


def read(
    files: Sequence[Path],
    columns: Mapping[str, str] | None = None,
    max_characters: int | None = None,
    source_lang: str | None = None,
    target_lang: str | None = None,
) -> Iterator[Row | Refused]:
    """Rows of all files; each reader gets those of the options that it takes. Files that no reader knows are left out by name."""
    given = {"columns": columns, "max_characters": max_characters, "source_lang": source_lang, "target_lang": target_lang}
    languages = [language for language in (source_lang, target_lang) if language]
    groups: dict[str, tuple[detection.Format, list[Path]]] = {}
    for file in files:
        format = detection.of_file(file, (columns or {}).values(), languages)
        if format is None:
            yield Refused(file.name, "no reader knows its content", counts=False)
        else:
            groups.setdefault(str(format), (format, []))[1].append(file)
    for format, group in groups.values():
        yield from readers.read(format.reader, group, taken(format.reader, given) | dict(format.options))


def taken(reader: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `options` that have a value and that the reader takes."""
    parameters = inspect.signature(import_module(f"tasks.readers.{reader}").read).parameters
    return {name: value for name, value in options.items() if name in parameters and value is not None}
