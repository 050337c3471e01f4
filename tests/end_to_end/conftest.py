"""The real stages on a corpus of a few hundred sentences: one lifecycle for the session, and a copy of it for whoever changes something."""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from flows import environment
from flows.services.prefect_server import PrivateServer
from model import applications
from tasks import tables
from tasks.intake import columns
from tasks.readers import grammar

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = [
    "flows",
    "tasks",
    "model",
    "profiles",
    "stemma.py",
    "dvc.yaml",
    "params.yaml",
    "sources.yaml",
    ".dvc",
    ".dvcignore",
    ".gitignore",
]
APPLICATIONS = ["qa", "sentiment", "srl", "summarization", "translation"]
STAGES = [
    *("code", "prepare", "tokenizer", "pretrain@encoder", "pretrain@decoder", "ngram", "assess@encoder", "assess@decoder", "baseline"),
    *(f"{stage}@{name}" for stage in ("finetune", "evaluate") for name in APPLICATIONS),
]
TINY = {
    "prepare.validation_share": 0.2,
    "prepare.quality.enabled": False,  # the made-up texts repeat themselves
    "tokenizer.vocab_size": 320,
    "tokenizer.context": 64,
    "tokenizer.max_train_tokens": 20000,
    "baseline.vector_size": 4,
    "baseline.epochs": 1,
    "assess.resamples": 100,
    "evaluate.max_examples": 8,
    "evaluate.max_new_tokens": 8,
    "evaluate.resamples": 100,
    **{
        f"pretrain.{base}.{name}": value
        for base in ("encoder", "decoder")
        for name, value in {
            "hidden_size": 32,
            "num_layers": 1,
            "num_heads": 2,
            "intermediate_size": 48,
            "max_steps": 6,
            "batch_size": 4,
            "evaluate_every": 3,
        }.items()
    },
    **{
        f"finetune.{application}.{name}": value
        for application in APPLICATIONS
        for name, value in {"context": 96, "max_steps": 4, "batch_size": 4, "evaluate_every": 2, "max_validation_examples": 8}.items()
    },
}
SERVICES = ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "STEMMA_KEY", "STEMMA_PARENT_RUN")
SECONDS = 600  # for any one command: the machine may be busy


@dataclass(frozen=True)
class Ran:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.out)

    @property
    def outcomes(self) -> dict[str, str]:
        """Of each stage: its outcome, or in a plan its state."""
        return {stage["name"]: stage.get("outcome") or stage["state"] for stage in self.document["stages"]}

    def reasons(self, name: str) -> str:
        return "; ".join(next(stage["reasons"] for stage in self.document["stages"] if stage["name"] == name))

    @property
    def line(self) -> str:
        """What it said, if that is the one line of a person's mistake."""
        lines = self.err.splitlines()
        assert self.code == 1, self
        assert len(lines) == 1, self.err
        return lines[0]


@dataclass(frozen=True)
class Project:
    """A folder with a Stemma project in it, driven from outside."""

    root: Path

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "stemma", *arguments]
        return subprocess.Popen(
            command, cwd=self.root, env=surroundings(variables), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def stemma(self, *arguments: str, **variables: str) -> Ran:
        process = self.start(*arguments, **variables)
        out, err = process.communicate(timeout=SECONDS)
        assert "Traceback" not in err, err
        return Ran(process.returncode, out, err)

    def plan(self, *arguments: str) -> Ran:
        ran = self.stemma("plan", "--json", *arguments)
        assert ran.code == 0, ran
        return ran

    def run(self, *arguments: str, code: int = 0, **variables: str) -> Ran:
        ran = self.stemma("run", "--json", *arguments, **variables)
        assert ran.code == code, ran
        return ran

    def dvc(self, *arguments: str) -> str:
        quiet = {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(self.root / ".stemma/dvc")}
        active = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # as a person has it, who calls dvc by its name
        return self.call(sys.executable, "-m", "dvc", *arguments, **quiet, **active)

    def call(self, *command: str, **variables: str) -> str:
        ran = subprocess.run(command, cwd=self.root, env=surroundings(variables), capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran
        return ran.stdout

    def change(self, file: str, old: str, new: str) -> None:
        text = (self.root / file).read_text(encoding="utf-8")
        assert text.count(old) == 1
        (self.root / file).write_text(text.replace(old, new), encoding="utf-8")

    def num_rows(self, table: str) -> int:
        """Of a table of MLflow's."""
        with sqlite3.connect(self.root / ".stemma/mlflow/mlflow.db") as database:
            return database.execute(f"select count(*) from {table}").fetchone()[0]

    def bytes_of(self, *folders: str) -> dict[str, bytes]:
        files = (file for folder in folders for file in sorted((self.root / folder).rglob("*")) if file.is_file())
        return {file.relative_to(self.root).as_posix(): file.read_bytes() for file in files}

    def cached(self, output: str, lock: str = "dvc.lock") -> list[Path]:
        """The objects of the DVC cache that hold the files of a folder."""
        from ruamel.yaml import YAML

        known = YAML(typ="safe").load((self.root / lock).read_text(encoding="utf-8"))
        entries = [known] if "outs" in known else known["stages"].values()
        [listing] = [out["md5"] for entry in entries for out in entry["outs"] if out["path"] == output]
        objects = self.root / ".dvc/cache/files/md5"
        content = json.loads((objects / listing[:2] / listing[2:]).read_text(encoding="utf-8"))
        return [objects / entry["md5"][:2] / entry["md5"][2:] for entry in content]


def surroundings(variables: dict[str, str]) -> dict[str, str]:
    person = {f"GIT_{role}_{what}": "tester@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return {name: value for name, value in os.environ.items() if name not in SERVICES} | person | variables


Once = Callable[[str, Callable[[Project], Any]], tuple[Project, Any]]


@pytest.fixture(scope="session")
def once(shared: Callable[..., Path]) -> Once:
    """`once(name, make)`: a project that one worker makes for all, and what `make` said of it, as JSON."""

    def made(name: str, make: Callable[[Project], Any]) -> tuple[Project, Any]:
        def told(folder: Path) -> None:
            said = make(Project(folder / "project"))
            (folder / "said.json").write_text(json.dumps(said), encoding="utf-8")

        folder = shared(name, told)
        return Project(folder / "project"), json.loads((folder / "said.json").read_text(encoding="utf-8"))

    return made


@pytest.fixture(scope="session")
def lifecycle(once: Once, empty_homes: Path) -> tuple[Project, Ran]:
    """A project after its first `stemma run`, and what that said. All workers copy it: nobody runs anything in it."""

    def run(project: Project) -> dict[str, Any]:
        make(project)
        shutil.copytree(empty_homes, project.root / ".stemma", dirs_exist_ok=True)
        return asdict(project.stemma("run", "--json"))

    project, said = once("lifecycle", run)
    return project, Ran(**said)


@pytest.fixture(scope="session")
def finished(lifecycle: tuple[Project, Ran], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """This worker's copy of it, to look at with verbs that change nothing."""
    return copied(lifecycle[0], tmp_path_factory.mktemp("finished") / "project")


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the project after its first run, to change."""
    return copied(finished, tmp_path / "project")


@pytest.fixture(scope="session")
def grown(once: Once, lifecycle: tuple[Project, Ran]) -> Project:
    """The project after its first run, that run committed, and then another data version, with more reviews."""

    def grow(project: Project) -> None:
        copied(lifecycle[0], project.root)
        project.call("git", "add", "-A")
        project.call("git", "commit", "-qm", "the first run")
        train, draw = project.root / "data/sentiment/train.parquet", random.Random(2)
        tables.write(train, [*tables.rows(train), *(opinion(draw) for _ in range(40))], applications.load("sentiment").SCHEMA)
        project.dvc("add", "-q", "data")
        project.call("git", "commit", "-qam", "more reviews")

    return once("grown", grow)[0]


@pytest.fixture(scope="session")
def second_run(once: Once, grown: Project, server: dict[str, str]) -> tuple[Project, float]:
    """The same after its second run, which nobody has committed, and how many seconds that took."""

    def run(project: Project) -> float:
        copied(grown, project.root)
        began = time.monotonic()
        project.run(**server)
        return time.monotonic() - began

    return once("second", run)


@pytest.fixture
def clone(finished: Project, tmp_path: Path) -> Callable[[str], Project]:
    """`clone(name)`: a fresh clone of the same commit, with the same data and nothing else."""

    def make_clone(name: str) -> Project:
        finished.call("git", "clone", "-q", str(finished.root), str(tmp_path / name))
        shutil.copytree(finished.root / "data", tmp_path / name / "data")
        return Project(tmp_path / name)

    return make_clone


@pytest.fixture(scope="session")
def server(empty_homes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """One Prefect server for many runs, as the variable that names it."""
    root, before = tmp_path_factory.mktemp("server"), dict(os.environ)
    shutil.copytree(empty_homes, root / ".stemma")
    environment.quiet(root)
    running = PrivateServer(root)
    os.environ.clear()
    os.environ.update(before)
    yield {"PREFECT_API_URL": running.wait()}
    running.stop()


def copied(project: Project, place: Path) -> Project:
    shutil.copytree(project.root, place, symlinks=True)
    return Project(place)


def make(project: Project) -> None:
    """The files of this repository with tiny numbers and tiny data, committed."""
    project.root.mkdir(parents=True)
    tracked = subprocess.run(["git", "ls-files", "-z", *SHIPPED], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        (project.root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, project.root / name)
    project.call("git", "init", "-q")
    numbers = [word for name, value in TINY.items() for word in ("-S", f"{name}={value}")]
    settings = "import sys; from pathlib import Path; from flows import settings; settings.write(Path(), sys.argv[1:])"
    project.call(sys.executable, "-c", settings, *numbers[1::2])
    write_data(project.root / "data")
    project.dvc("add", "-q", "data")
    project.call("git", "add", "-A")
    project.call("git", "commit", "-qm", "start")


# --- the data -----------------------------------------------------------------------------------------------------------------------------

WORDS = {
    "en": (
        "the old teacher;a tired sailor;my neighbour;the young mayor;our baker;every farmer;that painter;the quiet judge",
        "sold;painted;found;opened;carried;lost;wanted;repaired",
        "a heavy door;the long bridge;seven green boats;an honest letter;the broken clock;a small garden;two maps;the last train",
        "on monday;in the rain;before noon;near the harbour;without a word;after the war;last winter;for his brother",
    ),
    "zh": (
        "老师;水手;邻居;年轻的市长;面包师;农民;画家;法官",
        "卖了;画了;找到了;打开了;搬走了;丢了;想要;修好了",
        "一扇重门;那座长桥;七条绿船;一封信;那只坏钟;一个小花园;两张地图;末班火车",
        "在星期一;在雨中;在中午以前;在港口边;一言不发地;战争以后;去年冬天;为了他的哥哥",
    ),
}
PRAISE, BLAME = ("wonderful", "delightful", "excellent"), ("dreadful", "boring", "worthless")


def write_data(data: Path) -> None:
    """Texts and examples for all that there is, from a seed; made up, and said to be."""
    draw = random.Random(1)
    for lang in WORDS:
        documents = [
            {"text": " ".join(sentence(draw, lang)[0] for _ in range(8)), "source": lang, "license": None, "lang": lang} for _ in range(40)
        ]
        tables.write(data / "corpus" / f"{lang}.parquet", documents, columns.corpus())
    examples = {
        "sentiment": [opinion(draw) for _ in range(48)],
        "translation": [translation(draw) for _ in range(48)],
        "summarization": [summary(draw) for _ in range(48)],
        "qa": [question(draw, number % 4 > 0) for number in range(48)],
        "srl": list(grammar.read((), 60, 1))[:60],
    }
    for application, rows in examples.items():
        schema: pa.Schema = applications.load(application).SCHEMA
        for split, part in {"train": rows[20:], "validation": rows[:10], "test": rows[10:20]}.items():
            tables.write(data / application / f"{split}.parquet", part, schema)
    sources = {f"made-up-{name}": {"target": name, "synthetic": True} for name in examples}
    (data / "sources.json").write_text(json.dumps({"sources": sources}, sort_keys=True) + "\n", encoding="utf-8")


def sentence(draw: random.Random, lang: str) -> tuple[str, list[int]]:
    """A sentence, and which of the words it is made of."""
    chosen = [draw.randrange(8) for _ in range(4)]
    return said(lang, chosen), chosen


def said(lang: str, chosen: list[int]) -> str:
    parts = [slot.split(";")[number] for slot, number in zip(WORDS[lang], chosen, strict=True)]
    if lang == "zh":
        who, did, what, when = parts
        return f"{who}{when}{did}{what}。"
    return " ".join(parts).capitalize() + "."


def opinion(draw: random.Random) -> dict[str, str]:
    label = draw.choice(("positive", "negative"))
    word = draw.choice(PRAISE if label == "positive" else BLAME)
    return {"text": f"{sentence(draw, 'en')[0]} It was {word}.", "label": label}


def translation(draw: random.Random) -> dict[str, str]:
    english, chosen = sentence(draw, "en")
    return {"source": english, "target": said("zh", chosen), "source_lang": "en", "target_lang": "zh"}


def summary(draw: random.Random) -> dict[str, str]:
    first = sentence(draw, "en")[0]
    return {"document": f"{first} {sentence(draw, 'en')[0]}", "summary": " ".join(first.split()[:5])}


def question(draw: random.Random, answerable: bool) -> dict[str, Any]:
    text, chosen = sentence(draw, "en")
    when = WORDS["en"][3].split(";")[chosen[3]]
    answers = [{"text": when, "start": text.index(when)}] if answerable else []
    return {"context": text, "question": "When did it happen?" if answerable else "Why did it happen?", "answers": answers}
