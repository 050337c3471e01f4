"""Every application's train and test splits in; what the simple methods say to each test row out."""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model import applications
from model.applications import Row
from model.params import STRICT, Fitting
from tasks import examples
from tasks.session import Session


@dataclass(frozen=True, kw_only=True)
class Params(Fitting):
    """How the methods that have something to fit are fitted."""

    __pydantic_config__ = STRICT


def run(prepared: Path, out: Path, *, params: Params, session: Session) -> dict[str, float]:
    """Read `prepared/APPLICATION/{train,test}.parquet`; write `out/APPLICATION.parquet`, a column for each method.

    One stage for all, as most methods have nothing to fit; an evaluation depends on its application's file alone.
    """
    from threadpoolctl import threadpool_limits

    names = [name for name in applications.names() if (prepared / name / "test.parquet").exists()]
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    numbers: dict[str, float] = {}
    with threadpool_limits(params.num_threads):
        for done, name in enumerate(names, 1):
            application = applications.load(name)
            train, test = (examples.read(prepared / name / f"{split}.parquet", application.SCHEMA) for split in ("train", "test"))
            train = examples.by_hash(train, params.max_train_examples)
            guesses = application.baselines(train, test, params)
            write(out / f"{name}.parquet", test, guesses)
            numbers |= {f"{name}_train": len(train), f"{name}_test": len(test), f"{name}_methods": len(guesses)}
            session.progress(done, len(names))
    return numbers


def write(file: Path, rows: Sequence[Row], guesses: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """The predictions of each method, a struct a row, beside the hash of the row they are for."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"row": pa.array([identity(row) for row in rows])} | {name: pa.array(guess) for name, guess in guesses.items()}
    pq.write_table(pa.table(columns), file, compression="zstd")


def read(file: Path, rows: Sequence[Row]) -> dict[str, list[dict[str, Any]]]:
    """What `write` wrote of these rows, by the name of the method."""
    import pyarrow.parquet as pq

    known = {guesses.pop("row"): guesses for guesses in pq.read_table(file).to_pylist()}
    asked = [known[identity(row)] for row in rows]
    return {name: [guesses[name] for guesses in asked] for name in asked[0]}


def identity(row: Row) -> str:
    """The hash by which a row is found again."""
    return hashlib.sha256(examples.canonical(row).encode()).hexdigest()
