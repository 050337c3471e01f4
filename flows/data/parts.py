"""What a data version is made of, without checking it out: rows and bytes of each part, from the ends of its Parquet files."""

import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flows import atomic, documents
from flows.history import objects
from flows.history.objects import Listing, Objects

SHARD = re.compile(r"(-\d{5})?\.parquet$")


@dataclass(frozen=True)
class Part:
    """A table of rows (`corpus/NAME`, `APPLICATION/SPLIT`) in one file or several shards, or what is no table."""

    name: str
    rows: int | None  # None: no table
    size: int  # bytes
    files: dict[str, str]  # md5 by path below data/

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {"name": self.name, "rows": self.rows, "bytes": self.size}


@contextmanager
def looking(root: Path) -> Iterator[Callable[[str], list[Part] | None]]:
    """What gives the parts of a data version by name; None if neither cache nor remote has all of it.

    A version never changes, so what was found once is kept in `.stemma/parts`, and DVC is asked for the others only.
    """
    with ExitStack() as stack:
        stores: list[Objects] = []

        def parts_of(version: str) -> list[Part] | None:
            kept = root / ".stemma" / "parts" / f"{version}.json"
            if kept.is_file():
                return [Part(**part) for part in documents.remembered(kept)]
            if not stores:
                stores.append(stack.enter_context(objects.opened(root)))
            found = _found(stores[0], version)
            if found is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                atomic.write(root, kept, json.dumps([asdict(part) for part in found], ensure_ascii=False) + "\n")
            return found

        yield parts_of


def _found(store: Objects, version: str) -> list[Part] | None:
    listing = store.listing(version)
    if listing is None:
        return None
    grouped: dict[str, Listing] = defaultdict(dict)
    for path, md5 in sorted(listing.items()):
        grouped[_name(path)][path] = md5
    parts = [_part(store, name, files) for name, files in sorted(grouped.items())]
    whole = [part for part in parts if part]
    return whole if len(whole) == len(parts) else None


def _name(path: str) -> str:
    if SHARD.search(path):
        return SHARD.sub("", path)
    return str(Path(path).parent) if "/" in path else path


def _part(store: Objects, name: str, files: Listing) -> Part | None:
    """A part by its files; None if one of them is missing or damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: int | None = 0
    size = 0
    for path, md5 in files.items():
        opened = store.open(md5)
        if opened is None:
            return None
        with opened:
            size += opened.seek(0, os.SEEK_END)
            try:
                rows = rows + pq.read_metadata(opened).num_rows if rows is not None and SHARD.search(path) else None
            except pa.ArrowInvalid:
                return None
    return Part(name, rows, size, files)
