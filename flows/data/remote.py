"""Addresses and data sets of the Hugging Face Hub in; their bytes out, no more of them than allowed."""

import http.client
import os
import re
import urllib.error
import urllib.request
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from flows import room
from model.errors import UserError

CHUNK = 1 << 20
TIMEOUT = 30  # seconds without an answer
DATA_SET = re.compile(r"hf:([\w.-]+(?:/[\w.-]+)?)(?:@([\w.-]+))?")  # @ a split
ELSEWHERE = "where there is a network, save it with datasets' save_to_disk, and ingest that folder"
SECRET = re.compile(r"(token|sig|signature|key|secret|password|credential|auth)[^=&]*=", re.IGNORECASE)


def is_elsewhere(text: str) -> bool:
    """Whether it is an address or names a data set of the Hub, and no path."""
    return is_address(text) or is_data_set(text)


def fetch(text: str, into: Path, max_bytes: int) -> None:
    """Write the bytes of an address or a data set to `into`.

    Raises:
        UserError: they cannot be had, or are more than `max_bytes`.
    """
    (_download if is_address(text) else _load_data_set)(text, into, max_bytes)


def file_name(text: str) -> str:
    """What a file with these bytes is called."""
    if is_address(text):
        name = PurePosixPath(unquote(urlsplit(text).path).replace("\0", "")).name
        return "page" if name in ("", "..") else name
    return f"{PurePosixPath(text.removeprefix('hf:').partition('@')[0]).name}.parquet"


def is_address(text: str) -> bool:
    """Whether it is an http or https address."""
    return text.lower().startswith(("http://", "https://"))


def is_data_set(text: str) -> bool:
    """Whether it names a data set of the Hub, `hf:OWNER/NAME`, or without `hf:` if there is no such path."""
    return bool(DATA_SET.fullmatch(text)) or (bool(re.fullmatch(r"[\w-][\w.-]*/[\w-]+", text)) and not Path(text).parent.exists())


def without_secrets(text: str) -> str:
    """An address without user, password, fragment, and without a query that holds a key."""
    if not is_address(text):
        return text if text.startswith("hf:") else f"hf:{text}"
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise UserError(f"{text}: no address ({error}); mend it") from None
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "" if SECRET.search(parts.query) else parts.query, ""))


def _download(address: str, into: Path, max_bytes: int) -> None:
    shown = without_secrets(address)
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT) as answer, into.open("wb") as out:
            size = 0
            while chunk := answer.read(CHUNK):
                size += len(chunk)
                if size > max_bytes:
                    raise UserError(f"{shown}: more than {max_bytes:,} bytes; raise ingest.max_unpacked_bytes in params.yaml")
                out.write(chunk)
            expected = answer.headers.get("Content-Length")
    except urllib.error.HTTPError as error:
        raise UserError(f"{shown}: answers {error.code} ({error.reason}); mend the address") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        if room.is_full(error):
            raise
        raise UserError(f"{shown}: cannot be fetched ({getattr(error, 'reason', error)}); check the address and the network") from None
    if expected and expected.isdigit() and size < int(expected):
        raise UserError(f"{shown}: ended after {size:,} of {int(expected):,} bytes; run the command again")


def _load_data_set(name: str, into: Path, max_bytes: int) -> None:
    """Write all splits of a data set, or the one after `@`, as Parquet; class labels keep their names."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        urllib.request.urlopen(hub, timeout=TIMEOUT).close()  # its client would try for half a minute
    except urllib.error.HTTPError:
        pass  # it answers
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UserError(f"{name}: {hub} does not answer ({getattr(error, 'reason', error)}); {ELSEWHERE}") from None
    for variable in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):  # set by Stemma for every other use of these libraries
        os.environ.pop(variable, None)
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    found = DATA_SET.fullmatch(name if name.startswith("hf:") else f"hf:{name}")
    assert found, name
    try:
        loaded: Any = load_dataset(found[1], split=found[2], streaming=True)
        size, writer = 0, None
        for split in [loaded] if found[2] else loaded.values():
            for table in split.with_format("arrow").iter(batch_size=1000):
                writer = writer or pq.ParquetWriter(into, table.schema, compression="zstd")
                size += table.nbytes
                if size > max_bytes:
                    raise UserError(f"{name}: more than {max_bytes:,} bytes; raise ingest.max_unpacked_bytes in params.yaml")
                writer.write_table(table)
        if writer is None:
            raise UserError(f"{name}: no rows in it; name another data set, or a split after @")
        writer.close()
    except (OSError, ValueError, RuntimeError, DatasetsError, pa.ArrowException) as error:
        if room.is_full(error):
            raise
        said = str(error).strip().partition("\n")[0]
        raise UserError(f"{name}: cannot be had from the Hugging Face Hub ({said:.200}); check its name, or {ELSEWHERE}") from None
