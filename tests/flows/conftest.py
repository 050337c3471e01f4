"""A project of shell stages: whatever holds for it holds for any graph, since nothing in flows/ knows a stage by name."""

import json
import os
import queue
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from flows import environment, walk
from flows.data import versions
from flows.display import Display
from flows.proof import ancestry
from flows.walk import LifecycleResult, Walk
from model.errors import UserError
from tasks.registry.records import Version

REPOSITORY = Path(__file__).resolve().parents[2]
STEMMA = "import sys; from pathlib import Path; from flows import cli; cli.main(Path(sys.argv.pop(1)))"
DVC_YAML = """
stages:
  seed:
    cmd: sleep ${{seconds}}; mkdir -p build/seed; cat data/words.txt > build/seed/words; echo "${{letters.seed}}" >> build/seed/words
    deps: [data]
    params: [letters.seed]
    outs: [build/seed]
  part:
    foreach: ${{parts}}
    do:
      cmd: sleep ${{seconds}}; mkdir -p build/part; (cat build/seed/words; echo "${{item.word}}") > "build/part/${{key}}"
      deps: [build/seed]
      params: ["parts.${{key}}"]
      outs: ["build/part/${{key}}"]
  whole:
    cmd: sleep ${{seconds}}; cat build/part/a build/part/b > build/whole; echo "{{\\"lines\\":$(wc -l < build/whole)}}" > build/whole.json
    deps: [build/part/a, build/part/b]
    outs: [build/whole]
    metrics: [build/whole.json]
""".replace("{{", "{").replace("}}", "}")
PARAMS_YAML = """
seconds: 0
run:
  parallel_stages: 5
letters:
  seed: s
parts:
""" + "".join(f"  {key}:\n    word: {key}{key}\n" for key in "abc")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository with DVC, five stages and one data version."""
    root = tmp_path_factory.mktemp("template")
    (root / "data").mkdir()
    (root / "data" / "words.txt").write_text("one\ntwo\n")
    (root / "dvc.yaml").write_text(DVC_YAML)
    (root / "params.yaml").write_text(PARAMS_YAML)
    (root / ".gitignore").write_text("/build/\n/.stemma/\n/data/\n")
    quiet = os.environ | {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(root / ".stemma" / "dvc")}
    person = "-c user.name=tester -c user.email=tester@example.org"
    command = f"git init -q && dvc init -q && dvc add -q data && git add -A && git {person} commit -qm start"
    bin_folder = str(Path(sys.executable).parent)
    subprocess.run(command, shell=True, cwd=root, check=True, env=quiet | {"PATH": f"{bin_folder}:{os.environ['PATH']}"})
    shutil.rmtree(root / ".stemma")
    return root


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the template; the process is in it."""
    before = dict(os.environ)
    root = tmp_path / "project"
    shutil.copytree(template, root, symlinks=True)
    environment.quiet(root)
    os.environ.pop("PREFECT_API_URL", None)
    monkeypatch.chdir(root)
    yield root
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def homes(project: Path, empty_homes: Path) -> None:
    """The databases of MLflow and Prefect are there, which takes half a minute less than making them."""
    shutil.copytree(empty_homes, project / ".stemma", dirs_exist_ok=True)


@pytest.fixture
def shipped(project: Path) -> Path:
    """The project with Stemma's own code in it, committed."""
    for name in ("flows", "tasks", "model"):
        shutil.copytree(REPOSITORY / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "stemma.py", project)
    commit(project, "with code")
    return project


def commit(root: Path, message: str) -> str:
    """All that git does not ignore, as a commit; its name."""
    person = ["git", "-c", "user.name=tester", "-c", "user.email=tester@example.org"]
    for command in (["git", "add", "-A"], [*person, "commit", "--allow-empty", "-qm", message]):
        subprocess.run(command, cwd=root, check=True)
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def change(project: Path) -> Callable[[str, str], None]:
    """Replace a text in params.yaml; who reads it meanwhile sees the one or the other."""

    def replace(old: str, new: str, file: str = "params.yaml") -> None:
        text = (project / file).read_text()
        assert old in text
        partial = project / f"{file}.partial"
        partial.write_text(text.replace(old, new))
        partial.replace(project / file)

    return replace


@pytest.fixture
def walked(project: Path) -> Callable[..., LifecycleResult]:
    """One lifecycle on threads, without Prefect."""
    return lambda only=(), force=(), root=project, write=None: drive(root, only, force, write)


@pytest.fixture(scope="session")
def finished_template(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("finished") / "project"
    shutil.copytree(template, root, symlinks=True)
    before, folder = dict(os.environ), Path.cwd()
    environment.quiet(root)
    assert drive(root).exit_code == 0
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(before)
    return root


@pytest.fixture
def finished(project: Path, finished_template: Path) -> Path:
    """The project after a lifecycle."""
    for part in ("build", ".dvc/cache"):
        shutil.copytree(finished_template / part, project / part, dirs_exist_ok=True)
    (project / ".stemma").mkdir()
    for part in ("dvc.lock", ".stemma/seconds.jsonl"):
        shutil.copy(finished_template / part, project / part)
    return project


def stemma(project: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A verb as a person types it."""
    command = [sys.executable, "-c", STEMMA, str(project), *arguments]
    return subprocess.run(
        command, cwd=project, env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | variables, capture_output=True, text=True
    )


def drive(root: Path, only: Sequence[str] = (), force: tuple[str, ...] = (), write: Callable[[], None] | None = None) -> LifecycleResult:
    with Display(root) as display, walk.opened(root, display, only, force, write) as steps, ThreadPoolExecutor(16) as threads:
        ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        while not steps.finished:
            for name in steps.take():
                threads.submit(_do, steps, name).add_done_callback(lambda _, name=name: ended.put(name))
            steps.settle(ended.get(), "crashed")
        return steps.result()


def _do(steps: Walk, name: str) -> None:
    with suppress(UserError):
        steps.do(name)


@pytest.fixture
def registered(finished: Path) -> Callable[..., Version]:
    """`registered(tags, sources)`: a version as the registry has it that came out of the project's stages."""

    def make(more: dict[str, str] | None = None, sources: dict[str, Any] | None = None) -> Version:
        lineage = ancestry.facts(finished, ["seed", "part@a", "part@b", "whole"])
        lineage["sources"] = json.dumps(SOURCES if sources is None else sources)
        keys = {f"stemma.key.{stage.replace('@', '.')}": "k" for stage in json.loads(lineage["lock"])}
        tags = (
            keys
            | {f"stemma.{name}": value for name, value in lineage.items()}
            | {
                "stemma.checkpoint": "c0ffee" * 8,
                "stemma.evaluation": "e7a1" * 16,
                "stemma.data_version": versions.in_use(finished).hash,
                "stemma.run_commit": "0" * 40,
                "stemma.code": "stemma_model_abc",
            }
        )
        return Version("sentiment", 1, ("champion",), {"accuracy": 0.75}, "2026-01-31T12:00:00+00:00", tags | (more or {}))

    return make


SOURCES = {
    "vader": {"target": "sentiment", "license": "MIT", "sha256": "5d7c" * 16, "origin": "vader 3", "files": [], "synthetic": False},
    "grammar": {"target": "srl", "license": "Apache-2.0", "sha256": None, "origin": None, "files": [], "synthetic": True},
}
