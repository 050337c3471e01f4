"""Whether a row has the columns it must have."""

import reprlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = reprlib.Repr()  # a value from outside may be of any size and depth
SHOWN.maxstring = SHOWN.maxother = 60
KINDS = (("is_string", str), ("is_integer", int), ("is_floating", float), ("is_boolean", bool))


def corpus() -> "pa.Schema":
    """The columns of `data/corpus/*.parquet`."""
    import pyarrow as pa

    required = [pa.field(name, pa.string(), nullable=False) for name in ("text", "source")]
    return pa.schema([*required, ("license", pa.string()), ("lang", pa.string())])


def mismatch(row: Mapping[str, Any], schema: "pa.Schema", optional: frozenset[str] = frozenset()) -> str | None:
    """What is wrong with the types of `row`, or None; only columns in `optional` may be missing."""
    for field in schema:
        value = row.get(field.name)
        if value is None and field.name in optional:
            continue
        if (wrong := _wrong(value, field.type)) is not None:
            return f"{field.name}: {wrong}"
    return None


def _wrong(value: Any, kind: "pa.DataType") -> str | None:
    import pyarrow as pa

    if value is None:
        return "missing"
    if type(value) is str and kind == pa.string():
        return _wrong_text(value)
    if pa.types.is_list(kind):
        return _first(value, kind.value_type) if isinstance(value, list) else f"expected a list, got {SHOWN.repr(value)}"
    if pa.types.is_struct(kind):
        if not isinstance(value, Mapping):
            return f"expected an object, got {SHOWN.repr(value)}"
        return next((f"{field.name}: {wrong}" for field in kind if (wrong := _wrong(value.get(field.name), field.type))), None)
    expected = next(python for name, python in KINDS if getattr(pa.types, name)(kind))
    if type(value) is not expected:
        return f"expected {expected.__name__}, got {SHOWN.repr(value)}"
    if pa.types.is_integer(kind) and not -(2 ** (kind.bit_width - 1)) <= value < 2 ** (kind.bit_width - 1):
        return f"{SHOWN.repr(value)} is too large"
    return None


def _wrong_text(text: str) -> str | None:
    if "\0" in text:
        return "a NUL character, which no text has"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair, which UTF-8 cannot hold"
    return None


def _first(values: list[Any], kind: "pa.DataType") -> str | None:
    return next((f"item {place}: {wrong}" for place, value in enumerate(values) if (wrong := _wrong(value, kind))), None)
