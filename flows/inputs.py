"""What a person hands to `predict`, as arguments or in a file, into rows of an application's INPUTS."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from model.applications import Application
from model.errors import UserError

FORMATS = ".txt, .jsonl, .csv, .parquet"


def from_arguments(application: Application, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of command-line arguments: a text each, or `column=value` and JSON objects where the application has several inputs.

    Raises:
        UserError: a column is missing, unknown or of the wrong type.
    """
    if len(application.INPUTS) == 1:
        return [_checked(application, {application.INPUTS[0]: text}, "argument") for text in texts]
    rows: list[dict[str, Any]] = [{}]
    for text in texts:
        given = _json(text, "argument") if text.lstrip().startswith("{") else dict([_pair(application, text)])
        if given.keys() & rows[-1].keys():  # a column for the second time: the next row
            rows.append({})
        rows[-1] |= given
        if any(f" {name}=" in text for name in application.INPUTS if name not in given) and len(texts) == 1:
            raise _several(application, text)  # two columns in one argument
    return [_checked(application, row, f"input {number}") for number, row in enumerate(rows, 1)]


def from_file(application: Application, file: Path, columns: Mapping[str, str] = MappingProxyType({})) -> list[dict[str, Any]]:
    """Rows of a file with a column for each input, of this name or as `columns` call it; in a .txt file a line is one.

    Raises:
        UserError: the file is missing, of another format, or lacks a column.
    """
    if file.is_dir():
        raise UserError(f"{file}: a folder; give one of its files, {FORMATS}")
    if not file.is_file():
        raise UserError(f"{file}: no such file; give one of {FORMATS}")
    try:
        return [_of_columns(application, row, columns, f"{file}: row {number}") for number, row in enumerate(_read(application, file), 1)]
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except pa.ArrowInvalid as error:
        raise UserError(f"{file}: not a readable Parquet file ({error}); write it again") from None


def _of_columns(application: Application, row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> dict[str, Any]:
    """The inputs of a row of a file.

    Raises:
        UserError: a column is missing.
    """
    called = {name: columns.get(name, name) for name in application.INPUTS}
    if unknown := columns.keys() - called.keys():
        raise UserError(f"--column {min(unknown)}: no such input; this application has {', '.join(application.INPUTS)}")
    if missing := [name for name in called if called[name] not in row]:
        there = ", ".join(f"{column!s:.40}" for column in row) or "nothing"
        raise UserError(f"{where}: no {called[missing[0]]}, there is {there}; `--column {missing[0]}=NAME` says which one is meant")
    return _checked(application, {name: row[column] for name, column in called.items()}, where)


def _read(application: Application, file: Path) -> Iterator[Mapping[str, Any]]:
    match file.suffix:
        case ".txt":
            if len(application.INPUTS) > 1:
                columns = ", ".join(application.INPUTS)
                raise UserError(f"{file}: a line of text is no input with the columns {columns}; use .jsonl, .csv or .parquet")
            lines = file.read_text(encoding="utf-8").splitlines()
            yield from ({application.INPUTS[0]: line} for line in lines if line.strip())
        case ".jsonl":
            lines = file.read_text(encoding="utf-8").splitlines()
            yield from (_json(line, f"{file}: line {number}") for number, line in enumerate(lines, 1) if line.strip())
        case ".csv":
            with file.open(encoding="utf-8-sig", newline="") as opened:
                yield from csv.DictReader(opened)
        case ".parquet":
            import pyarrow.parquet as pq

            yield from pq.read_table(file).to_pylist()
        case _:
            raise UserError(f"{file}: cannot read {file.suffix or 'a file without a suffix'}; use one of {FORMATS}")


def _json(text: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f'{where}: {text.strip()[:40]} is not JSON ({error}); write one object, such as {{"column": "value"}}') from None
    if not isinstance(row, dict):
        raise UserError(f'{where}: {text.strip()[:40]} is not a JSON object; write one, such as {{"column": "value"}}')
    return row


def _pair(application: Application, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if equals and name.isidentifier() and name not in application.INPUTS:
        raise UserError(f"{name}: no such input; this application has {', '.join(application.INPUTS)}")
    if not equals or name not in application.INPUTS:
        raise _several(application, text)
    return name, value


def _several(application: Application, text: str) -> UserError:
    example = " ".join(f'"{column}=..."' for column in application.INPUTS)
    return UserError(f"{text[:40]}: this application has several inputs, each an argument; write {example}, or a JSON object with them")


def _checked(application: Application, row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The inputs of a row, in the types of the application's columns."""
    inputs = {}
    for name in application.INPUTS:
        kind = application.SCHEMA.field(name).type
        if row.get(name) is None:
            raise UserError(f"{where}: {name} is missing; this application needs {', '.join(application.INPUTS)}")
        try:
            inputs[name] = pa.scalar(_typed(row[name], kind), kind).as_py()
        except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError):
            raise UserError(f"{where}: {name} is {row[name]!r}, and should be {_described(kind)}; change it") from None
        if not str(inputs[name]).strip() or inputs[name] == []:
            raise UserError(f"{where}: {name} is empty, so there is nothing to answer; leave it out, or fill it in")
    return inputs


def _typed(value: Any, kind: pa.DataType) -> Any:
    """A value that may come as text, from an argument or a CSV cell: words are split at spaces, or stand in a JSON list."""
    if isinstance(value, str) and pa.types.is_list(kind):
        return json.loads(value) if value.lstrip().startswith("[") else value.split()
    if isinstance(value, str) and pa.types.is_integer(kind):
        return int(value)
    return value


def _described(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return "a list of words"
    return "a whole number" if pa.types.is_integer(kind) else "text"
