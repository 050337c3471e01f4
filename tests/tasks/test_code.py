"""Fingerprints: on a small project in a temporary folder, and on this one."""

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from model.errors import UserError
from tasks import code
from tasks.reach import RUNNER

ROOT = Path(__file__).parents[2]
FILES = {
    "tasks/__init__.py": "",
    "tasks/prepare.py": '''
        """Data in; clean data out."""
        import pyarrow
        from model import applications
        from . import cleaning

        class Params:
            shortest: int

        def run(data, out, params):
            for name in applications.names():
                application = applications.load(name)
                print(application.split_key(data), data.text.encode("utf-8"))
            return cleaning.clean(data)
    ''',
    "tasks/cleaning.py": """
        LIMITS = {"short": 3}

        def clean(data):
            return data[: LIMITS["short"]]

        def polish(data):
            return data + "!"
    """,
    "tasks/finetune.py": '''
        """A base in; a model out."""
        import torch
        from model import applications, training
        from model.params import Training

        class Params(Training):
            dropout: float

        def run(base, out, params, variant):
            return training.train(applications.load(variant).encode(base, None, 8, []), params)
    ''',
    "tasks/report.py": '"""No stage: it has no run()."""',
    "model/__init__.py": "",
    "model/params.py": """
        class Training:
            seed: int
    """,
    "model/training.py": '''
        """The loop."""
        import torch
        from typing import TYPE_CHECKING
        from .registry import keep
        if TYPE_CHECKING:
            from . import typing_only

        RATE = 0.1

        @keep("adam")
        def optimizer(model):
            # plain
            return torch.optim.Adam(model, RATE)

        class Loop:
            """One step after another."""

            def step(self, model): return optimizer(model)

        class Quick(Loop):
            pass

        def train(model, params):
            """Train.

            Long story.
            """
            from .losses import cross_entropy as loss
            return Quick().step(model) + loss(model)

        def untouched():
            return 1
    ''',
    "model/typing_only.py": "",
    "model/registry.py": """
        TABLE = {}

        def keep(name):
            def put(made):
                TABLE[name] = made
                return made
            return put
    """,
    "model/losses.py": """
        def cross_entropy(model):
            return 0.0

        def focal(model):
            return 1.0

        def score(told):
            return 0
    """,
    "model/applications/__init__.py": """
        from importlib import import_module

        def names():
            return ["qa", "srl"]

        def load(name):
            return import_module(f"{__name__}.{name}")
    """,
    "model/applications/qa.py": """
        from ..losses import score

        def split_key(row):
            return row["context"]

        def encode(rows, tokenizer, context, labels):
            from ..losses import focal
            return focal(rows)
    """,
    "model/applications/srl.py": """
        def split_key(row):
            return row["tokens"]

        def encode(rows, tokenizer, context, labels):
            import sklearn.metrics
            return []
    """,
}
VERSIONS = {"pyarrow": "25.0.0", "torch": "2.13.0", "scikit-learn": "1.8.0", "mlflow": "3.17.2"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        write(tmp_path / name, text)
    installed(tmp_path, VERSIONS)
    return tmp_path


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(re.sub(r"(?m)^ {8}", "", text), encoding="utf-8")


def installed(project: Path, versions: dict[str, str]) -> None:
    (project / "environment.json").write_text(json.dumps({"python": "3.11", "distributions": versions}))


def edit(project: Path, name: str, old: str, new: str) -> None:
    text = (project / name).read_text()
    assert old in text
    (project / name).write_text(text.replace(old, new))


def fingerprints(project: Path) -> dict[str, dict]:
    return code.fingerprints(project / "tasks", project / "model", project / "environment.json")


def changes(project: Path, *edits: tuple[str, str, str]) -> dict[str, list[str]]:
    """What `edits` change, as sentences by fingerprint."""
    before = fingerprints(project)
    for name, old, new in edits:
        edit(project, name, old, new)
    after = fingerprints(project)
    return {name: code.explain(before[name], after[name]) for name in before if before[name] != after[name]}


def test_a_stage_has_one_fingerprint_and_one_per_application_where_it_runs_for_one(project: Path) -> None:
    assert sorted(fingerprints(project)) == ["finetune.qa.json", "finetune.srl.json", "prepare.json"]


def test_comments_docstrings_and_layout_change_nothing(project: Path) -> None:
    assert not changes(
        project,
        ("model/training.py", "# plain", "# with momentum"),
        ("model/training.py", "Long story.", "Short story."),
        ("model/training.py", '    """One step after another."""\n', ""),
        ("model/training.py", "RATE = 0.1", "RATE = (\n    0.1\n)"),
    )


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("RATE = 0.1", "RATE = 0.2", "model.training.RATE changed"),
        ("return torch.optim.Adam(", "return torch.optim.SGD(", "model.training.optimizer changed"),
        ('@keep("adam")', '@keep("sgd")', "model.training.optimizer changed"),
        ("def step(self, model): return", "def step(self, model): return 2 *", "model.training.Loop changed"),
        ("class Quick(Loop)", "class Quick(dict)", "model.training.Quick changed"),
        ("cross_entropy as loss", "focal as loss", "model.losses.focal is new"),
        ("import torch\n", "import torch.cuda as torch\n", "model.training.optimizer changed"),
    ],
)
def test_what_training_can_reach_makes_training_stale_by_name_and_prepare_not(project: Path, old: str, new: str, named: str) -> None:
    changed = changes(project, ("model/training.py", old, new))
    assert named in changed["finetune.srl.json"]
    assert "prepare.json" not in changed


def test_a_helper_reached_through_a_module_is_followed_to_its_constant(project: Path) -> None:
    assert changes(project, ("tasks/cleaning.py", '"short": 3', '"short": 4')) == {"prepare.json": ["tasks.cleaning.LIMITS changed"]}


def test_a_base_class_of_params_is_reached(project: Path) -> None:
    changed = changes(project, ("model/params.py", "seed: int", "seed: float"))
    assert changed == {f"finetune.{name}.json": ["model.params.Training changed"] for name in ("qa", "srl")}


def test_a_statement_at_import_counts_and_one_for_type_checkers_does_not(project: Path) -> None:
    content = fingerprints(project)["finetune.qa.json"]
    assert "model.typing_only" not in content["modules"]
    changed = changes(project, ("model/training.py", "RATE = 0.1", "RATE = 0.1\ntorch.manual_seed(1)"))
    assert changed["finetune.qa.json"] == ["model.training is new"]


def test_a_function_that_cannot_be_reached_changes_nothing(project: Path) -> None:
    assert not changes(
        project,
        ("model/training.py", "return 1", "return 2"),
        ("tasks/cleaning.py", '"!"', '"?"'),
    )


def test_another_application_leaves_this_one_alone(project: Path) -> None:
    changed = changes(project, ("model/applications/qa.py", "return focal(rows)", "return [focal(rows)]"))
    assert changed == {"finetune.qa.json": ["model.applications.qa.encode changed"]}


def test_a_stage_over_all_applications_reaches_what_it_asks_them_for(project: Path) -> None:
    changed = changes(project, ("model/applications/qa.py", 'row["context"]', 'row["question"]'))
    assert sorted(changed) == ["prepare.json"]


def test_what_a_stage_never_asks_an_application_for_leaves_it_alone(project: Path) -> None:
    edits = [("model/applications/qa.py", 'row["context"]', 'row["question"]'), ("model/losses.py", "return 0\n", "return 1\n")]
    assert sorted(changes(project, *edits)) == ["prepare.json"]


def test_what_an_application_is_asked_for_may_ask_it_for_more_and_may_be_imported(project: Path) -> None:
    edit(project, "model/applications/qa.py", "return focal(rows)", "return tokenizer.score(rows)")
    changed = changes(project, ("model/losses.py", "return 0\n", "return 1\n"))
    assert changed == {"finetune.qa.json": ["model.losses.score changed"]}


def test_a_new_application_adds_its_fingerprints(project: Path) -> None:
    write(project / "model/applications/sentiment.py", "def encode(rows): return []")
    assert {"finetune.sentiment.json"} < set(fingerprints(project))


def test_a_library_is_watched_where_it_is_imported(project: Path) -> None:
    before = fingerprints(project)
    assert before["prepare.json"]["libraries"] == {"pyarrow": "25.0.0"}
    assert before["finetune.srl.json"]["libraries"]["scikit-learn"] == "1.8.0"
    assert set(before["finetune.qa.json"]["libraries"]) == {"numpy", "pyarrow", "safetensors", "tokenizers", "torch", "transformers"}
    installed(project, {**VERSIONS, "torch": "2.14.1", "mlflow": "3.18.0"})
    after = fingerprints(project)
    assert after["prepare.json"] == before["prepare.json"]
    assert code.explain(before["finetune.qa.json"], after["finetune.qa.json"]) == ["torch 2.13.0 -> 2.14.1"]


def test_another_python_is_the_only_thing_said(project: Path) -> None:
    old = fingerprints(project)["prepare.json"]
    assert code.explain(old, {**old, "python": "3.12", "functions": {}}) == ["Python 3.11 -> 3.12"]


def test_a_missing_environment_says_who_writes_it(project: Path) -> None:
    (project / "environment.json").unlink()
    with pytest.raises(UserError, match=r"environment.json: no such file; `stemma plan` writes it"):
        fingerprints(project)


def test_a_stage_refuses_other_versions_than_its_fingerprint_names(tmp_path: Path) -> None:
    file = tmp_path / "prepare.json"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    content = {"python": python, "libraries": {"pyarrow": metadata.version("pyarrow")}, "functions": {}, "modules": []}
    file.write_text(json.dumps(content))
    code.check_installed(file)
    file.write_text(json.dumps({**content, "libraries": {"pyarrow": "1.0"}}))
    with pytest.raises(UserError, match=r"made with pyarrow 1.0, installed is .*; run `stemma run`"):
        code.check_installed(file)
    file.write_text(json.dumps({**content, "python": "2.7"}))
    with pytest.raises(UserError, match=r"made with Python 2.7, installed is 3"):
        code.check_installed(file)
    file.unlink()
    with pytest.raises(UserError, match=r"no such file; run `stemma run`"):
        code.check_installed(file)


def test_a_stage_fails_that_loaded_a_module_its_fingerprint_does_not_know(tmp_path: Path) -> None:
    file = tmp_path / "prepare.json"
    script = f"""
from pathlib import Path
import model.params
from model.errors import UserError
from tasks import code
from tasks.reach import RUNNER
try:
    code.check_loaded(Path({str(file)!r}))
except UserError as error:
    print(error)
"""
    said = []
    for modules in ([], ["model.params"]):
        file.write_text(json.dumps({"python": "", "libraries": {}, "functions": {}, "modules": modules}))
        said.append(subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert "the stage loaded model.params, which it does not cover" in said[0]
    assert said[1] == ""


def test_whatever_the_runner_itself_loads_is_allowed_in_every_stage() -> None:
    script = "import tasks.__main__, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {name for name in loaded if name.partition(".")[0] in ("tasks", "model")} <= RUNNER


def test_run_writes_every_fingerprint_and_nothing_else(project: Path) -> None:
    out = project / "build/code"
    write(out / "gone.json", "{}")
    numbers = code.run(project / "tasks", project / "model", project / "environment.json", out, session=None)  # type: ignore[arg-type]
    assert sorted(file.name for file in out.iterdir()) == sorted(fingerprints(project))
    assert numbers == {"fingerprints": 3.0}
    assert json.loads((out / "prepare.json").read_text()) == fingerprints(project)["prepare.json"]


def test_every_stage_of_this_project_has_a_fingerprint_of_modules_that_exist(tmp_path: Path) -> None:
    installed(tmp_path, {distribution.metadata["Name"]: distribution.version for distribution in metadata.distributions()})
    made = code.fingerprints(ROOT / "tasks", ROOT / "model", tmp_path / "environment.json")

    declared = set(re.findall(r"python -m tasks (\w+)", (ROOT / "dvc.yaml").read_text())) - {"code"}
    assert declared == {name.partition(".")[0] for name in made}
    for content in made.values():
        assert all(
            (ROOT / module.replace(".", "/")).with_suffix(".py").is_file() or (ROOT / module.replace(".", "/")).is_dir()
            for module in content["modules"]
        )
        assert code.ABSENT not in content["libraries"].values()
    assert "torch" not in made["prepare.json"]["libraries"]
