"""Sealed checkpoints: a folder of tensors and JSON that counts only when its manifest, written last, agrees with every byte.

A kill at any moment leaves either a sealed checkpoint or something that `newest` passes over.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

KEPT = 2
MANIFEST = "MANIFEST.json"


def seal(folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write checkpoint `step` under `folder`, then drop all but the newest `KEPT`."""
    folder.mkdir(parents=True, exist_ok=True)
    partial, final = folder / f"partial-{step:08}", folder / f"step-{step:08}"
    for stale in (partial, final):
        shutil.rmtree(stale, ignore_errors=True)
    partial.mkdir()
    save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, partial / "tensors.safetensors")
    (partial / "state.json").write_text(json.dumps(state, sort_keys=True), encoding="utf-8")
    files = sorted(partial.iterdir())
    manifest = {file.name: _digest(file) for file in files}
    (partial / MANIFEST).write_text(json.dumps(manifest, sort_keys=True), encoding="utf-8")
    for path in (*files, partial / MANIFEST, partial):
        _sync(path)
    partial.rename(final)
    _sync(folder)
    for old in sorted(folder.glob("step-*"))[:-KEPT]:
        shutil.rmtree(old)


def newest(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and state of the newest sealed checkpoint under `folder`; what is unsealed or damaged is removed."""
    for path in sorted(folder.glob("*"), reverse=True):
        if path.name.startswith("step-") and _sealed(path):
            try:
                return load_file(path / "tensors.safetensors"), json.loads((path / "state.json").read_text(encoding="utf-8"))
            except SafetensorError:
                pass
        shutil.rmtree(path, ignore_errors=True)
    return None


def last(folder: Path) -> Path | None:
    """The newest checkpoint that was sealed under `folder`, without a look at its bytes."""
    return max(folder.glob("step-*"), default=None)


def _sealed(path: Path) -> bool:
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        return {"tensors.safetensors", "state.json"} == set(manifest) and all(_digest(path / name) == manifest[name] for name in manifest)
    except (OSError, ValueError):
        return False


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
