"""A project of shell stages: whatever holds for it holds for any graph, since nothing in flows/ knows a stage by name."""

import os
import subprocess
from pathlib import Path

import pytest

from flows import environment

DVC_YAML = """
stages:
  seed:
    cmd: sleep {seconds}; mkdir -p build/seed; cat data/words.txt > build/seed/words; echo "${{letters.seed}}" >> build/seed/words
    deps: [data]
    params: [letters.seed]
    outs: [build/seed]
  part:
    foreach: ${{parts}}
    do:
      cmd: sleep {seconds}; mkdir -p build/part; (cat build/seed/words; echo "${{item.word}}") > "build/part/${{key}}"
      deps: [build/seed]
      params: ["parts.${{key}}"]
      outs: ["build/part/${{key}}"]
  whole:
    cmd: sleep {seconds}; cat build/part/a build/part/b > build/whole; echo '{{"lines":' $(wc -l < build/whole)'}}' > build/whole.json
    deps: [build/part/a, build/part/b]
    outs: [build/whole]
    metrics: [build/whole.json]
"""
PARAMS_YAML = """
run:
  parallel_stages: 5
letters:
  seed: s
parts:
""" + "".join(f"  {key}:\n    word: {key}{key}\n" for key in "abcde")


def make_project(root: Path, seconds: float) -> Path:
    """A git repository with DVC, seven stages and one data version."""
    environment.quiet(root)
    (root / "data").mkdir(parents=True)
    (root / "data/words.txt").write_text("one\ntwo\n")
    (root / "dvc.yaml").write_text(DVC_YAML.format(seconds=seconds))
    (root / "params.yaml").write_text(PARAMS_YAML)
    (root / ".gitignore").write_text("/build/\n/.stemma/\n/data/\n")
    for command in ("git init -q", "dvc init -q", "dvc add -q data", "git add -A", "git -c user.name=t -c user.email=t@t commit -qm start"):
        subprocess.run(command, shell=True, cwd=root, check=True)
    return root


@pytest.fixture
def project(tmp_path: Path) -> Path:
    before = dict(os.environ)
    yield make_project(tmp_path / "project", 0)
    os.environ.clear()
    os.environ.update(before)
