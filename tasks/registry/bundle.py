"""What travels with a registered model: a copy of `model/` under a name of its own, the script MLflow loads it with, and its signature.

The name holds the hash of the sources, so that several versions, and somebody else's package called `model`, can live in one process.
"""

import ast
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parents[2] / "model"

ALWAYS = {"mlflow", "numpy", "pandas", "safetensors", "tokenizers", "torch", "transformers"}  # needed, if not always imported by name

SCRIPT = '''"""How MLflow loads this model: the code beside it, under a name that is its own, and the checkpoint among the artifacts."""

from pathlib import Path

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from pandas import DataFrame


class Registered(PythonModel):
    def load_context(self, context):
        from {package}.predictor import Predictor

        self.predictor = Predictor(Path(context.artifacts["checkpoint"]))

    def predict(self, context, model_input: DataFrame, params=None):
        predictions = self.predictor.predict(model_input.to_dict("records"), params)
        return DataFrame(predictions, index=model_input.index)


set_model(Registered())
'''


def write(folder: Path, sources: Path = SOURCES) -> tuple[Path, Path]:
    """Write the package and the script that loads it into `folder`; their paths."""
    package = folder / name(sources)
    for file in _files(sources):
        copy = package / file.relative_to(sources)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    script = folder / "registered.py"
    script.write_text(SCRIPT.replace("{package}", package.name), encoding="utf-8")
    return package, script


def name(sources: Path = SOURCES) -> str:
    """`stemma_model_` and the hash of every source file's name and content."""
    digest = hashlib.sha256()
    for file in _files(sources):
        digest.update(f"{file.relative_to(sources).as_posix()}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return f"stemma_model_{digest.hexdigest()[:12]}"


@cache
def requirements(sources: Path = SOURCES) -> list[str]:
    """Every distribution that the sources import, pinned to the version installed here, as pip reads it."""
    distributions = packages_distributions()
    imported = {distribution for module in _imports(sources) for distribution in distributions.get(module, [])}
    return [f"{name}=={version(name).partition('+')[0]}" for name in sorted(imported | ALWAYS)]  # +cpu is on no public index


def signature(inputs: Mapping[str, Any], outputs: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, str]:
    """MLflow's signature of a model, as MLflow writes it: the columns of an input and an output row, and the numbers one may override."""
    params = [{"name": name, "default": value, "shape": None, **_type(value)} for name, value in defaults.items()]
    return {"inputs": _columns(inputs), "outputs": _columns(outputs), "params": json.dumps(params)}


def _columns(row: Mapping[str, Any]) -> str:
    return json.dumps([{"name": name, "required": True, **_type(value)} for name, value in row.items()])


def _type(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {"type": "array", "items": _type(value[0]) if value else {"type": "any"}}
    return {"type": {bool: "boolean", int: "long", float: "double", str: "string"}[type(value)]}


def _imports(sources: Path) -> Iterator[str]:
    for file in _files(sources):
        for node in ast.walk(ast.parse(file.read_bytes())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                modules = [node.module]
            yield from {module.partition(".")[0] for module in modules} - sys.stdlib_module_names


def _files(sources: Path) -> list[Path]:
    return sorted(sources.rglob("*.py"), key=lambda file: file.relative_to(sources).as_posix())
