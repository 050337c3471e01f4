"""An application more costs one file and one line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[3]

FILE = '''"""Language: a text in, the code of the language it is written in out."""

import pyarrow as pa

from ..classification import baselines, encode, labels, metrics, open_model, predict, refuse, split_key, statistics

SCHEMA = pa.schema([("text", pa.string()), ("label", pa.string())])
INPUTS = ("text",)
METRIC = "macro_f1"
EXAMPLE = {"text": "Wo ist der Bahnhof?"}

__all__ = ["EXAMPLE", "INPUTS", "METRIC", "SCHEMA", "baselines", "encode", "labels", "metrics", "open_model", "predict", "refuse"]
__all__ += ["split_key", "statistics"]
'''
LINE = (
    "  language: {base: encoder, reads: prepare/corpus, context: 32, max_steps: 30, batch_size: 8, learning_rate: 1.0e-2, "
    "evaluate_every: 10}\n"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """This project's code and numbers, elsewhere."""
    for folder in ("model", "tasks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / file, tmp_path)
    return tmp_path


def run(project: Path, stage: str, *paths: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "tasks", stage, *paths, "--metrics", f"build/metrics/{stage}.json"]
    ended = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.e2e
def test_an_application_more_costs_one_file_and_one_line(project: Path, bases: Path) -> None:
    (project / "model/applications/language.py").write_text(FILE, encoding="utf-8")
    params = (project / "params.yaml").read_text(encoding="utf-8")
    (project / "params.yaml").write_text(params.replace("  sentiment: {", f"{LINE}  sentiment: {{", 1), encoding="utf-8")

    texts = {"en": "the bridge was opened", "de": "die Brücke wurde geöffnet", "zh": "大桥通车了"}
    rows = [{"text": f"{text} {n}", "label": code} for n in range(20) for code, text in texts.items()]
    splits = project / "build/prepare/language"
    splits.mkdir(parents=True)
    for split in ("train", "validation", "test"):
        pq.write_table(pa.Table.from_pylist(rows), splits / f"{split}.parquet")

    run(project, "finetune.language", str(bases / "bert"), "build/prepare/language", "build/prepare/corpus", "build/finetune/language")
    run(project, "baseline", "build/prepare", "build/baseline")
    told = "build/baseline/language.parquet"
    run(project, "evaluate.language", "build/finetune/language", "build/prepare/language", told, "build/evaluate/language")
    judged = YAML(typ="safe").load((project / "build/evaluate/language/evaluation.json").read_text(encoding="utf-8"))
    assert judged["metrics"]["macro_f1"]["value"] > judged["baseline"]["majority"]["macro_f1"]["value"]
    assert (project / "build/evaluate/language/plot.png").exists()
