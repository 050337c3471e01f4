"""Source of `tasks/` and `model/` and the installed versions in; for each stage, a fingerprint of what it can reach out.

A stage depends on its fingerprint and on no source file, so it goes stale when code it can reach changes, or a library it computes
with, and not when a comment does.
"""

import json
import re
import shutil
import sys
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from model.errors import UserError
from tasks.reach import RUNNER, Project, Reach
from tasks.session import Session
from tasks.syntax import Module, Target

APPLICATIONS = "model.applications"
# Watched as soon as a stage imports torch, since these reach its numbers and files through each other.
WITH_TORCH = ("numpy", "pyarrow", "safetensors", "tokenizers", "torch", "transformers")
# They check Params, and compute nothing.
UNWATCHED = {"annotated_types", "pydantic", "typing_extensions"}
DISTRIBUTIONS = {"PIL": "pillow", "rouge_score": "rouge-score", "ruamel": "ruamel.yaml", "sklearn": "scikit-learn", "yaml": "pyyaml"}
ABSENT = "absent"


def run(tasks: Path, model: Path, environment: Path, out: Path, *, session: Session) -> dict[str, float]:
    """Write `out/<kind>.json` for every stage, and `out/<kind>.<application>.json` where a stage loads its application."""
    contents = fingerprints(tasks, model, environment)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for name, content in contents.items():
        text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
        (out / name).write_text(text + "\n", encoding="utf-8")
    return {"fingerprints": len(contents)}


def fingerprints(tasks: Path, model: Path, environment: Path) -> dict[str, dict[str, Any]]:
    """What `run` would write, by file name. Imports none of the code it looks at.

    Raises:
        UserError: `environment` (`{"python": "3.11", "distributions": {name: version}}`) is missing.
    """
    try:
        installed = json.loads(environment.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{environment}: no such file; `stemma plan` writes it") from None
    versions = {canonical(name): version for name, version in installed["distributions"].items()}
    project = Project({"tasks": tasks, "model": model})
    applications = sorted(file.stem for file in (model / "applications").glob("*.py") if file.stem != "__init__")

    contents = {}
    for file in sorted(tasks.glob("*.py")):
        name = f"tasks.{file.stem}"
        if name in project and _is_stage(project[name]):
            for variant, reach in _reaches(project, project[name], applications).items():
                contents[".".join(filter(None, (file.stem, variant, "json")))] = {
                    "functions": reach.hashes(),
                    "libraries": _libraries(reach.libraries(), versions),
                    "modules": sorted(reach.modules - RUNNER),
                    "python": installed["python"],
                }
    return contents


def _reaches(project: Project, stage: Module, applications: list[str]) -> dict[str, Reach]:
    """What a stage reaches, by application where it runs for one of them; the empty name otherwise."""
    starts = [Target(stage.name, "run"), *([Target(stage.name, "Params")] if "Params" in stage.symbols else [])]
    reach = Reach(project, *starts)
    if Target(APPLICATIONS, "load") not in reach.symbols:
        return {"": reach}
    loaded = {name: [name] for name in applications} if _takes_variant(stage) else {"": applications}
    reaches = {variant: Reach(project, *starts) for variant in loaded}
    for variant, reach in reaches.items():
        reach.add_interfaces(f"{APPLICATIONS}.{name}" for name in loaded[variant])
    return reaches


def explain(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two fingerprints of one stage, a short sentence each."""
    if old["python"] != new["python"]:  # syntax trees of two Pythons are not comparable
        return [f"Python {old['python']} -> {new['python']}"]
    sentences = []
    for name in sorted({*old["functions"], *new["functions"]}):
        before, after = old["functions"].get(name), new["functions"].get(name)
        if before != after:
            sentences.append(f"{name} {'is new' if before is None else 'is gone' if after is None else 'changed'}")
    for name in sorted({*old["libraries"], *new["libraries"]}):
        before, after = old["libraries"].get(name), new["libraries"].get(name)
        if before != after:
            sentences.append(f"{name} {before or 'unused'} -> {after or 'unused'}")
    return sentences


def check_installed(file: Path) -> None:
    """The versions a fingerprint speaks of are those that this process would import.

    Raises:
        UserError: they are not, or there is no such file.
    """
    content = _read(file)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    for name, made, installed in [
        ("Python", content["python"], python),
        *((name, made, _installed(name)) for name, made in content["libraries"].items()),
    ]:
        if made != installed:
            raise UserError(
                f"{file}: made with {name} {made}, installed is {installed}; run `stemma run` (it makes build/code again first)"
            )


def check_loaded(file: Path) -> None:
    """At the end of a stage: every module of ours that it loaded is one its fingerprint looked at.

    Raises:
        UserError: one is not, so that editing it would not have made the stage stale.
    """
    loaded = {name for name in sys.modules if name.partition(".")[0] in ("tasks", "model")}
    unseen = sorted(loaded - RUNNER - set(_read(file)["modules"]))
    if unseen:
        raise UserError(f"{file}: the stage loaded {', '.join(unseen)}, which it does not cover; import it by name, not by import_module")


def _read(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; run `stemma run` (it makes build/code first)") from None


def _is_stage(module: Module) -> bool:
    return module.name not in RUNNER and module.docstring is not None and module.function("run") is not None


def _takes_variant(module: Module) -> bool:
    run = module.function("run")
    return run is not None and any(argument.arg == "variant" for argument in [*run.args.args, *run.args.kwonlyargs])


def _libraries(imported: set[str], versions: Mapping[str, str]) -> dict[str, str]:
    names = {_distribution(name, versions) for name in imported - UNWATCHED}
    if "torch" in names:
        names |= set(WITH_TORCH)
    return {name: versions.get(canonical(name), ABSENT) for name in names}


def _distribution(module: str, versions: Mapping[str, str]) -> str:
    """The distribution that provides a top-level module."""
    if module in DISTRIBUTIONS:
        return DISTRIBUTIONS[module]
    if canonical(module) in versions:
        return canonical(module)
    return min(_distributions_by_module().get(module, [module]))


@cache
def _distributions_by_module() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()  # a quarter of a second, so last


def _installed(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ABSENT


def canonical(distribution: str) -> str:
    """The name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
