"""How long `stemma ingest FILE --to corpus` takes, and how much memory, for corpora of several sizes.

`python -m benchmarks.ingest DATA --megabytes 100 1000`, DATA being the `data/` of a project. One JSON document on stdout: for each size the
seconds of the wall clock and of the processors, the peak of memory, and the exponent of time in size between the first and the last.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import big_corpus

PROJECT = Path(__file__).parents[1]
SHIPPED = ["flows", "tasks", "model", "dvc.yaml", "params.yaml", ".dvcignore", ".gitignore", ".dvc/config"]


def project(folder: Path) -> Path:
    """This project with no source in it."""
    for name in SHIPPED:
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(PROJECT / name, place) if (PROJECT / name).is_dir() else shutil.copy(PROJECT / name, place)
    (folder / "sources.yaml").write_text("archives: {}\nsources: {}\n", encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


def measure(root: Path, file: Path) -> dict[str, Any]:
    """One ingest in its own process."""
    command = [sys.executable, str(PROJECT / "stemma.py"), "ingest", str(file), "--to", "corpus", "--no-commit"]
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=root, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=sys.stderr)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{file}: `stemma ingest` failed")
    return {
        "megabytes": round(file.stat().st_size / 1e6, 1),
        "seconds": round(time.perf_counter() - began, 1),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_mebibytes": round(used.ru_maxrss / 1024),
    }


def main() -> None:
    """See the first lines of this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--megabytes", type=float, nargs="+", default=[100, 1000])
    parser.add_argument("--corpora", type=Path, help="keep the corpora in this folder, and use those that are there")
    given = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for megabytes in given.megabytes:
            file = (given.corpora or Path(folder)) / f"{megabytes:g}.jsonl"
            if not file.exists():
                big_corpus.made(file, given.data, megabytes)
            found.append(measure(project(Path(folder) / f"project-{megabytes:g}"), file))
    first, last = found[0], found[-1]
    growth = {key: math.log(last[key] / first[key]) for key in ("megabytes", "seconds", "processor_seconds")}
    exponents = {key: round(growth[key] / growth["megabytes"], 2) for key in ("seconds", "processor_seconds")} if len(found) > 1 else {}
    sys.stdout.write(json.dumps({"ingest": found, "exponent": exponents}, indent=2) + "\n")


if __name__ == "__main__":
    main()
