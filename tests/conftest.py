"""A tokenizer and bases of a few thousand numbers, made by the project's own code."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import pytest
from filelock import FileLock

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of processes import the same modules
os.environ["OMP_NUM_THREADS"] = "1"  # three workers share two cores: one of them mostly waits for a service


@pytest.hookimpl(trylast=True)  # of those that are left: a file with slow tests only makes nothing
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files in the order to begin them: one that makes the lifecycle, long ones that do without, those that wait for it, the rest."""
    files = dict[Path, list[pytest.Item]]()
    for item in items:
        files.setdefault(item.path, []).append(item)
    waiting = [path for path, tests in files.items() if any("lifecycle" in getattr(test, "fixturenames", ()) for test in tests)]
    long = [path for path, tests in files.items() if any(test.get_closest_marker("e2e") for test in tests)]
    order = [*waiting[:1], *(path for path in long if path not in waiting), *waiting[1:]]
    places = {path: place for place, path in enumerate(order)}
    items.sort(key=lambda item: places.get(item.path, len(order)))


ENGLISH = """The teacher gave the girl a book in the garden. When was the bridge opened? The bridge was opened in 1932 and carries two
railway tracks. This film is a warm and funny delight, and I loved every minute of it. A dull, slow, terrible waste of time. You can
return a response directly. The city council voted on Monday to close the old bridge for repairs."""
CHINESE = "这本书非常好看,我很喜欢。质量太差了,非常失望。你可以直接返回一个响应。大桥于一九三二年通车。老师在花园里给了女孩一本书。"


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tasks.tokenizer import save, train

    folder = tmp_path_factory.mktemp("tokenizer")
    save(train([ENGLISH, CHINESE] * 3, 420, 2), folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder: Path):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tokenizer_folder)


@pytest.fixture(scope="session")
def bases(tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a fresh checkpoint of each architecture, by its name."""
    import torch

    from model.backbone import DECODERS, ENCODERS, build

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("bases")
    sizes = {"hidden_size": 32, "num_layers": 1, "num_heads": 2, "intermediate_size": 48, "dropout": 0.0}
    for architecture in ENCODERS + DECODERS:
        model = build(architecture, vocab_size=420, context=128, seed=1, **sizes)
        model.save_pretrained(folder / architecture)
        for file in tokenizer_folder.iterdir():
            shutil.copy(file, folder / architecture)
    return folder


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Callable[[str, Callable[[Path], object]], Path]:
    """`shared(name, make)`: a folder that whoever needs it first makes, for all workers."""
    mine = tmp_path_factory.getbasetemp()
    whole = mine if worker_id == "master" else mine.parent

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = whole / name, whole / f"{name}.done"
        with FileLock(whole / f"{name}.lock"):
            if not done.exists():
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def empty_database(shared: Callable[..., Path]) -> Path:
    """An MLflow database with nothing in it: its migrations take seconds, a copy does not."""
    from tasks.tracking import create_database

    return shared("mlflow", lambda folder: create_database(folder / "mlflow.db")) / "mlflow.db"


@pytest.fixture(scope="session")
def empty_homes(empty_database: Path, shared: Callable[..., Path]) -> Path:
    """The folders of MLflow and Prefect below .stemma, with databases that hold nothing yet."""

    def make(folder: Path) -> None:
        from flows import environment
        from flows.services.prefect_server import PrivateServer

        before = dict(os.environ)
        environment.quiet(folder / "project")
        server = PrivateServer(folder / "project")
        os.environ.clear()
        os.environ.update(before)
        server.wait()
        server.stop()
        shutil.copytree(folder / "project/.stemma/prefect", folder / "homes/prefect")
        shutil.copytree(empty_database.parent, folder / "homes/mlflow")

    return shared("services", make) / "homes"


@pytest.fixture
def tracked(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the numbers of this one and an empty MLflow database; its path is not plain ASCII."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DO_NOT_TRACK", "true")
    root = tmp_path / "my project 模型"
    (root / ".stemma/mlflow").mkdir(parents=True)
    shutil.copy(empty_database, root / ".stemma/mlflow/mlflow.db")
    shutil.copy(Path(__file__).parents[1] / "params.yaml", root)
    return root


@pytest.fixture(scope="session")
def fine_tuned(bases: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`fine_tuned(application, seed=1)`: a folder as the stage finetune leaves it, with a head that has learned nothing."""
    from model import applications

    labels = {"sentiment": ["negative", "positive"], "srl": ["B-A0", "B-V", "I-A0", "I-V", "O"]}
    folder = tmp_path_factory.mktemp("finetune")

    def make(name: str, seed: int = 1) -> Path:
        import torch

        out = folder / f"{name}-{seed}"
        if out.exists():
            return out
        base = bases / ("llama" if name in ("translation", "summarization") else "bert")
        torch.manual_seed(seed)
        model = applications.load(name).open_model(base, labels.get(name, []), 0.0)
        shutil.copytree(base, out, ignore=shutil.ignore_patterns("model*", "config.json"))
        torch.nn.init.normal_(next(model.parameters()), std=0.2)  # so that another seed is another checkpoint
        model.save_pretrained(out)
        facts = {"application": name, "context": 96, "labels": labels.get(name, [])}
        (out / "application.json").write_text(json.dumps(facts))
        (out / "history.jsonl").write_text('{"loss": 1.0, "step": 1}\n')
        return out

    return make


@pytest.fixture
def judged(tmp_path: Path) -> Callable[..., Path]:
    """`judged(application, value)`: a folder as the stage evaluate leaves it, with this value of the main metric."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from model import applications

    answers = {
        "sentiment": {"label": "positive", "predicted_label": "positive", "predicted_probability": 0.5},
        "translation": {"target": "你可以直接返回一个响应。", "predicted_translation": "你可以。"},
        "summarization": {"summary": "The bridge is to be closed.", "predicted_summary": "The bridge."},
        "qa": {"answers": [{"text": "1932", "start": 25}], "predicted_answer": "1932", "predicted_score": 0.5},
        "srl": {tags: ["B-A0", "I-A0", "B-V", "O", "O", "O", "O", "O"] for tags in ("tags", "predicted_tags")} | {"predicted_roles": ""},
    }

    def make(name: str, value: float, evaluation: str = "same rows") -> Path:
        application = applications.load(name)
        out = tmp_path / "evaluate" / name
        out.mkdir(parents=True, exist_ok=True)
        scores = {application.METRIC: {"value": value, "low": value, "high": value}}
        report = {
            "metric": application.METRIC,
            "metrics": scores,
            "strongest_baseline": "guess",
            "baseline": {"guess": scores},
            "comparison": {"guess": {"difference": 0.0, "p_value": 0.5, "beats": False}},
            "beats_baseline": False,
            "p_value": 0.5,
            "num_examples": 2,
            "synthetic": False,
            "evaluation_hash": evaluation,
        }
        (out / "evaluation.json").write_text(json.dumps(report))
        pq.write_table(pa.Table.from_pylist([{**application.EXAMPLE, **answers[name]}] * 2), out / "predictions.parquet")
        return out

    return make


@pytest.fixture(scope="session")
def mlflow_server() -> Callable[[Path, int], AbstractContextManager[None]]:
    """`with mlflow_server(root, port):` a server on the database of a project, which keeps the artifacts itself."""

    from flows import environment

    @contextmanager
    def serve(root: Path, port: int) -> Iterator[None]:
        state = root / ".stemma/mlflow"
        places = [f"--backend-store-uri=sqlite:///{state / 'mlflow.db'}", f"--artifacts-destination={state / 'served'}"]
        command = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}", "--workers=1", *places]
        ours = os.environ | environment.OFFLINE  # with jobs, eight processes start
        process = subprocess.Popen(command, env=ours, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while process.poll() is None:
                with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                    break
                time.sleep(0.2)
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    return serve


@pytest.fixture
def free_port() -> int:
    """A port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
