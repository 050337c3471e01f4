"""The walls: who may import whom, and what planning must not load."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = sorted(file.relative_to(ROOT) for folder in ("flows", "tasks", "model") for file in (ROOT / folder).rglob("*.py"))
HEAVY = {"torch", "transformers", "mlflow", "prefect", "datasets", "pandas", "sklearn", "matplotlib", "optuna", "scipy"}
RUNS = [Path("flows/lifecycle.py"), Path("flows/services/deployment.py")]  # imported when a flow runs, not to plan or to parse a command
LIGHT = ("applications", "architectures.py", "params.py", "errors.py")  # of model/
PLANNED = [  # what planning and the command line may import
    file for file in FILES if file not in RUNS and (file.parts[0] != "model" or file.parts[1] in LIGHT)
]


def imports(file: Path, for_annotations: bool = True) -> Iterator[tuple[str, list[str], int]]:
    """(module, names, dots) of each import in a file."""
    pending: list[ast.AST] = [ast.parse((ROOT / file).read_bytes())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, [], 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", [alias.name for alias in node.names], node.level
        if for_annotations or not is_type_checking(node):
            pending.extend(ast.iter_child_nodes(node))


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def importers(folders: set[str], *wanted: str) -> set[str]:
    """The files in `folders` that import one of the packages `wanted`."""
    return {
        str(file)
        for file in FILES
        if file.parts[0] in folders
        for name, _, dots in imports(file)
        if not dots and name.partition(".")[0] in wanted
    }


def test_the_arrows_are_flows_to_tasks_to_model() -> None:
    assert not importers({"model"}, "tasks", "flows")
    assert not importers({"tasks"}, "flows")


def test_imports_inside_model_are_relative_and_stay_inside() -> None:
    assert not importers({"model"}, "model")
    assert not [file for file in FILES if file.parts[0] == "model" for _, _, dots in imports(file) if dots >= len(file.parts)]


def test_no_files_need_each_other() -> None:
    TopologicalSorter({file: set(needed(file)) for file in FILES}).prepare()  # raises CycleError, which names them


def needed(file: Path) -> Iterator[Path]:
    """The files of ours that a file imports, wherever in it, if not for annotations alone."""
    for module, names, dots in imports(file, for_annotations=False):
        base = file.parents[dots - 1] if dots else Path()
        place = base.joinpath(*module.split(".")) if module else base
        for found in (
            place.with_suffix(".py"),
            *(place / f"{name}.py" for name in names),
            *(place / name / "__init__.py" for name in names),
        ):
            if found in FILES and found != file:
                yield found


def test_each_tool_has_its_place() -> None:
    assert not importers({"model", "tasks"}, "prefect", "dvc")
    assert importers({"model", "tasks"}, "mlflow") <= {"tasks/tracking.py", "tasks/register.py", "tasks/registry/records.py"}


def test_yaml_is_read_by_ruamel() -> None:
    assert not importers({"flows", "tasks", "model"}, "yaml")


def test_planning_loads_nothing_heavy() -> None:
    names = [".".join(file.with_suffix("").parts) for file in PLANNED if file.stem not in ("__init__", "__main__")]
    script = f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\nprint(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert not set(ended.stdout.split()) & HEAVY


def test_test_folders_are_not_packages() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))  # one in tests/tasks would be imported as `tasks`


def test_no_file_is_a_drawer() -> None:
    assert not [file for file in FILES if {"utils", "util", "helpers", "common", "manager", "core", "misc"} & {*file.parts[:-1], file.stem}]
