"""How fast the corpus goes through the steps of `prepare`, in how much memory, beside the same steps written plainly.

`python -m benchmarks.prepare DATA [--megabytes 40] [--runs 3]` alternates the two, each run in a process of its own on one core, over a
corpus of `benchmarks.big_corpus`; `--scale 100 1000` takes only ours through corpora of these sizes and gives the exponent of time in
size. DATA is the `data/` of a project: its test splits are what the corpus must not hold.
"""

import argparse
import json
import math
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import big_corpus
from benchmarks.plain import prepare as plainly

ONE_CORE = {name: "1" for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "RAYON_RS_NUM_CPUS", "OPENBLAS_NUM_THREADS")}


def ours(data: Path, out: Path) -> int:
    """The corpus of `data` through the steps, as `stemma run` takes it; how many documents are left."""
    import pyarrow as pa

    from tasks import params, prepare
    from tasks.cleaning import documents
    from tasks.cleaning.contamination import HeldOut, Listing

    pa.set_cpu_count(1)
    numbers = params.build(prepare.Params, params.section(params.read(Path("params.yaml")), "prepare"), "prepare")
    names = sorted(file.parent.name for file in data.glob("*/test.parquet"))
    held_out = HeldOut(prepare.tests(data, names, numbers), numbers.test_splits)
    out.mkdir(parents=True, exist_ok=True)
    with Listing(out / "contamination.parquet") as listing:
        _, counts = documents.prepare(data, out / "corpus", numbers, held_out, listing, lambda done, total: None)
    return int(counts["corpus_train"] + counts["corpus_validation"])


def run(system: str, data: Path, out: Path) -> dict[str, float]:
    """One run in a process of its own: its seconds on the clock and on the core, its peak of memory, and the documents left."""
    shutil.rmtree(out, ignore_errors=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    command = [sys.executable, "-m", "benchmarks.prepare", str(data), "--system", system, "--out", str(out)]
    told = json.loads(subprocess.run(command, env=os.environ | ONE_CORE, capture_output=True, text=True, check=True).stdout)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    core = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return told | {"seconds": time.monotonic() - start, "core_seconds": core}


def corpus(data: Path, folder: Path, megabytes: float) -> Path:
    """A data folder with a corpus of this size and the test splits of `data`."""
    made = folder / f"data-{megabytes:g}"
    if not made.exists():
        for file in data.glob("*/test.parquet"):
            (made / file.parent.name).mkdir(parents=True)
            (made / file.parent.name / file.name).symlink_to(file.resolve())
        big_corpus.made(made / "corpus" / "big.parquet", data, megabytes)
    return made


def main() -> None:
    """See the first lines of this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--megabytes", type=float, default=40)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--scale", type=float, nargs="+", default=[])
    parser.add_argument("--out", type=Path, default=Path(".stemma/benchmarks/prepare"))
    parser.add_argument("--system", choices=["ours", "plain"])
    given = parser.parse_args()
    if given.system:
        left = {"ours": ours, "plain": plainly}[given.system](given.data, given.out)
        _tell(json.dumps({"documents": left, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
    elif given.scale:
        results = [(size, run("ours", corpus(given.data, given.out, size), given.out / "ours")) for size in given.scale]
        for size, result in results:
            _tell(f"{size:g} MB: {_told(result)}, {size / result['core_seconds']:.2f} MB per core-second")
        (small, first), (large, last) = results[0], results[-1]
        _tell(f"exponent {math.log(last['core_seconds'] / first['core_seconds']) / math.log(large / small):.3f}")
    else:
        made = corpus(given.data, given.out, given.megabytes)
        results = {system: [] for system in ("ours", "plain")}
        for number in range(2 * given.runs):
            system = ("ours", "plain", "plain", "ours")[number % 4]
            results[system].append(run(system, made, given.out / system))
            _tell(f"{system}: {_told(results[system][-1])}")
        ours_, plain = (statistics.median(result["core_seconds"] for result in results[system]) for system in ("ours", "plain"))
        _tell(f"per core, ours is {plain / ours_:.2f} times as fast (medians {ours_:.1f} and {plain:.1f} s)")


def _told(result: dict[str, float]) -> str:
    return (
        f"{result['core_seconds']:.1f} core-seconds, {result['seconds']:.1f} s, {result['megabytes']:.0f} MiB,"
        f" {result['documents']:,} documents left"
    )


def _tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
