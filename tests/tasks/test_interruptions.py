"""A training that is killed, ended or out of disk, and started again: the same bytes and the same curve as one that nobody disturbed."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from flows import curves
from model import applications
from tasks import __main__, tokenizer, tracking
from tasks.session import Session

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
STEPS = 500
SHORT = {"max_steps": STEPS, "batch_size": 4, "evaluate_every": 50, "patience": 99, "dropout": 0.1}
SHAPE = {"architecture": "bert", "hidden_size": 32, "num_layers": 1, "num_heads": 2, "intermediate_size": 48}
LIMIT = 30_000  # bytes of a file on a full disk: less than the weights, and more than a curve
SECONDS_TO_END = 10  # after SIGTERM
TRIALS = 30
IN_MAKE_TEST = ("pretrain",)  # once; the rest takes an hour


@dataclass(frozen=True)
class Kind:
    """A stage, its paths, and the numbers in which it differs from params.yaml, by dotted name."""

    stage: str
    paths: tuple[str, ...]
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def num_processes(self) -> int:
        return self.numbers.get(f"{self.stage}.num_processes", 1)


def finetuning(**numbers: Any) -> Kind:
    paths = ("bases/bert", "splits", "reads", "out")
    return Kind("finetune.sentiment", paths, {f"finetune.sentiment.{name}": value for name, value in (SHORT | numbers).items()})


KINDS = {
    "pretrain": Kind("pretrain.encoder", ("tokens", "pretrained", "out"), {f"pretrain.encoder.{k}": v for k, v in (SHORT | SHAPE).items()}),
    "full": finetuning(ema_decay=0.99),
    "two processes": finetuning(num_processes=2, accumulation=2, batch_size=2, ema_decay=0.99),
    "lora": finetuning(lora={"rank": 4, "alpha": 8, "dropout": 0.1, "modules": {"encoder": ["query", "value"]}}),
}


@dataclass(frozen=True)
class Stage:
    """A folder from which a stage can be run as dvc.yaml would, and what it leaves there."""

    kind: Kind
    folder: Path

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.json"

    @property
    def curve(self) -> Path:
        return self.folder / "curve.jsonl"

    def here(self) -> None:
        with chdir(self.folder):
            __main__.run_stage(self.kind.stage, [Path(path) for path in self.kind.paths], None, Path("metrics.json"))

    def start(self, limited: bool = False) -> subprocess.Popen[str]:
        """A process of its own; its progress is forgotten first."""
        (self.folder / "progress.json").unlink(missing_ok=True)
        return subprocess.Popen(
            [sys.executable, "-m", "tasks", self.kind.stage, *self.kind.paths, "--metrics", "metrics.json"],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "STEMMA_CURVE": "curve.jsonl", "STEMMA_PROGRESS": "progress.json"},
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=fill_the_disk if limited else None,
        )

    def interrupt(self, at: int, how: signal.Signals) -> None:
        """Start it, and end it once it has taken `at` steps."""
        process = self.start()
        self.wait(process, at)
        process.send_signal(how)
        process.communicate(timeout=SECONDS_TO_END)
        assert process.returncode in (-how, 0)  # it may have ended by itself meanwhile

    def finish(self) -> None:
        process = self.start()
        _, said = process.communicate()
        assert process.returncode == 0, said

    def wait(self, process: subprocess.Popen[str], at: int) -> None:
        """Until it has taken `at` steps, or has ended."""
        while process.poll() is None and self.done() < at:
            time.sleep(0.002)

    def done(self) -> int:
        """The steps that it has taken."""
        file = self.folder / "progress.json"
        return json.loads(file.read_text(encoding="utf-8"))["done"] if file.exists() else 0

    def sealed(self) -> list[int]:
        return [int(path.parent.name.removeprefix("step-")) for path in self.folder.glob(".stemma/checkpoints/*/*/step-*/MANIFEST.json")]

    def result(self) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in [*(self.folder / "out").iterdir(), self.metrics]}


def fill_the_disk() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))


@pytest.fixture(scope="module")
def inputs(bases: Path, tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stages read: tiny and made up."""
    folder = tmp_path_factory.mktemp("inputs")
    shutil.copytree(bases / "bert", folder / "bases/bert")
    (folder / "pretrained").mkdir()
    (folder / "pretrained/checkpoints.json").write_text("[]", encoding="utf-8")
    rows = [{"text": f"Bridge {n} has {n * n} stones.", "source": "bridges", "lang": "en"} for n in range(60)]
    for split, some in (("train", rows[6:]), ("validation", rows[:6])):
        pq.write_table(pa.Table.from_pylist(some), folder / f"{split}.parquet")
    numbers = tokenizer.Params(vocab_size=290, context=16, min_frequency=2, max_train_tokens=9999, max_validation_tokens=99, num_threads=1)
    silent = Session(checkpoints=folder, log=lambda step, values: None, progress=lambda done, total: None)
    tokenizer.run(folder, folder / "tokens", params=numbers, session=silent)
    for name in ("splits", "reads"):
        (folder / name).mkdir()
    films = [
        {"text": f"A {word} film, number {n}", "label": label} for n in range(20) for word, label in (("warm", "good"), ("dull", "bad"))
    ]
    for split in ("train", "validation"):
        pq.write_table(pa.Table.from_pylist(films, schema=applications.load("sentiment").SCHEMA), folder / f"splits/{split}.parquet")
    return folder


def prepared(kind: Kind, inputs: Path, folder: Path) -> Stage:
    shutil.copytree(inputs, folder)
    sections = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for name, value in kind.numbers.items():
        *path, key = name.split(".")
        section = sections
        for part in path:
            section = section[part]
        section[key] = value
    YAML().dump(sections, folder / "params.yaml")
    return Stage(kind, folder)


@pytest.fixture(scope="module")
def undisturbed(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, bytes]]:
    """`undisturbed(kind)`: what the stage leaves if nobody disturbs it, run once."""
    known = dict[str, dict[str, bytes]]()

    def result(kind: str) -> dict[str, bytes]:
        if kind not in known:
            stage = prepared(KINDS[kind], inputs, tmp_path_factory.mktemp("undisturbed") / kind)
            if KINDS[kind].num_processes == 1:
                stage.here()
            else:
                stage.finish()
            known[kind] = stage.result()
        return known[kind]

    return result


@pytest.mark.parametrize(
    ("seed", "kind"),
    [
        pytest.param(seed, kind, marks=[] if seed == 0 and kind in IN_MAKE_TEST else [pytest.mark.slow])
        for kind in KINDS
        for seed in range(TRIALS)
    ],
)
def test_a_training_killed_then_ended_leaves_the_bytes_and_the_curve_of_an_undisturbed_one(
    seed: int, kind: str, inputs: Path, undisturbed: Callable[[str], dict[str, bytes]], tmp_path: Path, tracked: Path
) -> None:
    expected = undisturbed(kind)
    stage = prepared(KINDS[kind], inputs, tmp_path / "stage")
    moments = sorted(random.Random(f"{kind} {seed}").sample(range(1, STEPS), 2))
    for at, how in zip(moments, (signal.SIGKILL, signal.SIGTERM), strict=True):
        follower = curves.Follower(stage.curve, lambda: tracking.StageRun.open(tracked, kind, "key", None, {}))
        stage.interrupt(at, how)
        follower.close("FAILED")
    assert stage.sealed() or moments[1] < STEPS // 2, "no checkpoint was sealed in all that time"
    follower = curves.Follower(stage.curve, lambda: tracking.StageRun.open(tracked, kind, "key", None, {}))
    stage.finish()
    follower.close(None)
    assert stage.result() == expected
    history = [json.loads(line) for line in expected["history.jsonl"].decode().splitlines()]
    curve = [json.loads(line) for line in stage.curve.read_text(encoding="utf-8").splitlines()]
    assert [{name: point[name] for name in entry} for point, entry in zip(curve, history, strict=True)] == history
    assert shown(tracked, kind, stage) == [entry["step"] for entry in history]


def shown(tracked: Path, kind: str, stage: Stage) -> list[int]:
    """The steps of the curve in MLflow, when all attempts are over: one run of them all."""
    run_id = tracking.sync(tracked, kind, "key", None, {}, stage.metrics, stage.folder / "out")
    assert run_id
    client = tracking.connect(tracked)
    assert len(client.search_runs([tracking.experiment(client, tracked)])) == 1
    return [point.step for point in client.get_metric_history(run_id, "loss")]


@pytest.mark.slow
def test_a_training_on_two_processes_ends_with_either_of_them(inputs: Path, tmp_path: Path) -> None:
    stage = prepared(KINDS["two processes"], inputs, tmp_path / "stage")
    process = stage.start()
    stage.wait(process, 2)
    [other] = psutil.Process(process.pid).children()
    assert os.getpgid(other.pid) == os.getpgid(process.pid)
    other.kill()
    _, said = process.communicate(timeout=60)  # it takes a moment of the processor, which may be busy
    assert (process.returncode, "Traceback" in said) == (1, False)
    assert said.splitlines()[-1] == "training: process 2 of 2 was ended by SIGKILL; `stemma run` goes on from the last checkpoint"
    process = stage.start()
    stage.wait(process, 2)
    [other] = psutil.Process(process.pid).children()
    process.kill()
    process.communicate()
    assert not psutil.wait_procs([other], timeout=5)[1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_one_line_and_costs_no_byte(
    kind: str, inputs: Path, undisturbed: Callable[[str], dict[str, bytes]], tmp_path: Path
) -> None:
    expected = undisturbed(kind)
    stage = prepared(KINDS[kind], inputs, tmp_path / "stage")
    process = stage.start(limited=True)
    _, said = process.communicate()
    assert process.returncode == 1
    assert "Traceback" not in said
    assert said.splitlines()[-1] == "out: File too large; make room on its disk, then `stemma run` goes on"
    stage.finish()
    assert stage.result() == expected
