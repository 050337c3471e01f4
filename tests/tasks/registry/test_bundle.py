"""The code that travels with a registered model."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

from tasks.registry import bundle


def test_the_package_has_the_name_of_its_sources(tmp_path: Path) -> None:
    sources = tmp_path / "model"
    shutil.copytree(bundle.SOURCES, sources, ignore=shutil.ignore_patterns("__pycache__"))
    assert bundle.name(sources) == bundle.name() == bundle.name(sources)
    with (sources / "words.py").open("a") as file:
        file.write("\nMORE = 1\n")
    assert bundle.name(sources) != bundle.name()


def test_the_bundle_is_every_source_and_a_script_that_imports_nothing_of_ours_at_its_top(tmp_path: Path) -> None:
    package, script = bundle.write(tmp_path)
    copied = {file.relative_to(package) for file in package.rglob("*") if file.is_file()}
    assert copied == {file.relative_to(bundle.SOURCES) for file in bundle.SOURCES.rglob("*.py")}
    assert f"from {package.name}.predictor import Predictor" in script.read_text()
    top = [node for node in ast.parse(script.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not [node for node in top if "stemma" in ast.unparse(node)]


def test_the_package_loads_where_another_package_is_called_model(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "__init__.py").write_text("SOMEBODY_ELSES = True\n")
    package, _ = bundle.write(tmp_path)
    script = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
import model
from {package.name} import applications, predictor
assert model.SOMEBODY_ELSES and not [name for name in sys.modules if name.startswith("model.")]
assert applications.load("qa").__name__ == "{package.name}.applications.qa"
"""
    subprocess.run([sys.executable, "-I", "-c", script], check=True)


def test_what_the_sources_import_is_pinned_as_pip_reads_it() -> None:
    pinned = dict(line.split("==") for line in bundle.requirements())
    assert {"torch", "transformers", "mlflow", "sacrebleu", "annotated-types"} <= pinned.keys()
    assert pinned["torch"].replace(".", "").isdigit()  # no +cpu
