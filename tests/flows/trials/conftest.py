"""A stage that learns in two seconds: its loss falls with every step, and how far depends on its number `x`, 3 being the best."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from flows.history.git import git

LEARN = """
x=$1 out=build/learn
mkdir -p $out && rm -f $out/history.jsonl && sleep 0.2
echo "began $x" >> "$RUNS"
case $x in 0*) echo "the loss is not finite"; exit 1;; esac
for step in 1 2 3 4; do
  loss=$(awk "BEGIN { print ($x - 3) * ($x - 3) + 4 - $step }")
  echo "{\\"step\\": $step, \\"validation_loss\\": $loss}" >> $out/history.jsonl
  tail -n 1 $out/history.jsonl >> "${STEMMA_CURVE:-/dev/null}"
  sleep 0.4
done
echo "{\\"validation_loss\\": $loss}" > build/learn.json
echo "ended $x" >> "$RUNS"
"""
DVC_YAML = """
stages:
  base:
    cmd: mkdir -p build/base && cp data/words.txt build/base && echo "base" >> "$RUNS"
    deps: [data]
    outs: [build/base]
  learn:
    cmd: sh learn.sh ${learn.x}
    deps: [build/base, learn.sh]
    params: [learn]
    outs: [build/learn]
    metrics: [build/learn.json]
"""
PARAMS_YAML = """
run:
  parallel_stages: 2
learn:
  x: 5.0   # how much
tune:
  seed: 1
  batch: 2
  random_trials: 3
  min_finished: 2
  spared_share: 0.5
  ranges: {learn: {x: {low: 1.0, high: 9.0}}}
"""


@pytest.fixture
def learning(shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with that stage, and another that it needs."""
    for name, text in {"dvc.yaml": DVC_YAML, "params.yaml": PARAMS_YAML, "learn.sh": LEARN}.items():
        (shipped / name).write_text(text)
    git(shipped, "add", "-A")
    git(shipped, "-c", "user.name=tester", "-c", "user.email=tester@example.org", "commit", "-qm", "a stage that learns")
    monkeypatch.setenv("RUNS", str(tmp_path / "runs"))
    (tmp_path / "runs").touch()
    shutil.rmtree(shipped / "build", ignore_errors=True)
    return shipped


@pytest.fixture
def ran(tmp_path: Path):
    """`ran()`: how often each thing has been done."""
    return lambda: Counter((tmp_path / "runs").read_text().splitlines())
