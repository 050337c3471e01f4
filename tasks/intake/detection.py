"""A file in; which reader knows its content, with which options, out."""

import codecs
import csv
import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from model.errors import UserError
from tasks.intake import lines

HEAD = 1 << 16  # bytes looked at
ARROW_STREAM = b"\xff\xff\xff\xff"  # how its first message begins
TABLES = ("arrow", "csv", "json", "jsonl", "parquet")  # readers of columns with names
DELIMITERS = "\t,;|"
SAME = 5  # records that must have as many fields as the header

HTML = re.compile(r"<(!doctype html|html|head|body|div|p|h1|table|article)\b", re.IGNORECASE)
FRAMES = re.compile(r"<!DOCTYPE frameset|<frameset>\s*(<note>|<predicate)", re.IGNORECASE)
SQUAD = re.compile(r'"(paragraphs|qas)"\s*:')
JSON = re.compile(r'\{\s*["}]|\[\s*["\[\]{\d-]')
ROLES = re.compile(r"\s\((?!\s)[^()*\s]+\*\)?\s")
MARKDOWN = re.compile(r"#{1,6} \S|(---|\+\+\+)\n|```")
PROSE_LINES = 20  # without a blank one: each line is a paragraph


class Format(NamedTuple):
    """A reader, and the options that the content asks for."""

    reader: str
    options: Mapping[str, Any] = MappingProxyType({})


def of_file(file: Path, fields: Collection[str], languages: Sequence[str] = ()) -> Format | None:
    """How to read a file, or None if no reader knows it; `fields` are the names that a table's header may have.

    `languages` are the two of a translation: a file named after one of them is half of a pair.
    """
    with file.open("rb") as stream:
        head = stream.read(HEAD)
    if head.startswith(b"PAR1"):
        return Format("parquet")
    if head.startswith((b"ARROW1", ARROW_STREAM)):
        return Format("arrow")
    encoding = lines.encoding_of(file, "utf-8")
    if encoding == "utf-8" and b"\0" in head:
        return None
    text = head.decode(encoding, "ignore").removeprefix(codecs.BOM_UTF8.decode()).replace("\r\n", "\n").lstrip()
    if file.suffix[1:] in languages:
        return Format("moses")
    if text.startswith("<"):
        return _marked_up(file, text)
    if JSON.match(text):
        return Format(_json(text))
    if ROLES.search(text) and len(text.split("\n", 1)[0].split()) >= len(("token", "predicate", "role")):
        return Format("conll")
    if delimiter := _delimiter(file, text, fields):
        return Format("csv", {"delimiter": delimiter} if delimiter != "," else {})
    if file.suffix.casefold() in (".md", ".markdown", ".mdx") or MARKDOWN.match(text):
        return Format("markdown")
    parted = "\n\n" in text or text.count("\n") < PROSE_LINES
    return Format("text", {} if parted else {"paragraph": "line"})


def of_files(files: Sequence[Path], fields: Collection[str], languages: Sequence[str] = ()) -> Format:
    """How to read all of them: as one format, or each by its own content.

    Raises:
        UserError: no reader knows any of them.
    """
    found = [of_file(file, fields, languages) for file in files if file.stat().st_size]
    known = [format for format in found if format]
    if not known:
        what = "it is empty" if not found else "no reader knows its content"
        raise UserError(f"{files[0].name if files else 'nothing'}: {what}; there is a list of formats in docs/ingest.md, or say --reader")
    return known[0] if all(format == known[0] for format in found) else Format("auto")


def _marked_up(file: Path, text: str) -> Format | None:
    if "<tmx" in text:
        return Format("tmx")
    if FRAMES.search(text):
        return Format("propbank")
    if HTML.search(text):
        return Format("html")
    return None if text.startswith(("<?xml", "<!DOCTYPE")) or file.suffix == ".xml" else Format("text")


def _json(text: str) -> str:
    if SQUAD.search(text):
        return "squad"
    first, _, rest = text.partition("\n")
    try:
        whole = isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):  # it ends in a later line, or beyond what was looked at
        return "jsonl" if not rest and first.startswith("{") else "json"
    return "jsonl" if whole and (not rest.strip() or rest.lstrip().startswith("{")) else "json"


def _delimiter(file: Path, text: str, fields: Collection[str]) -> str | None:
    """What parts the fields of a table, or None for prose."""
    named = {".csv": ",;|\t", ".tsv": "\t"}.get(file.suffix.casefold())
    sample = text.split("\n")[: 10 * SAME]
    csv.field_size_limit(HEAD)
    for delimiter in named or DELIMITERS:
        try:
            records = [record for record in csv.reader((f"{line}\n" for line in sample), delimiter=delimiter) if record]
        except csv.Error:
            continue
        header = records[0] if records else []
        alike = [len(record) == len(header) for record in records[1 : SAME + 1]]
        if len(header) > 1 and all(alike) and (named or set(header) & set(fields)):
            return delimiter
    return named[0] if named else None
