"""Models in use: `stemma predict`, `stemma generate` and `stemma models`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from importlib import import_module
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

from flows import inputs
from flows.history.references import MODEL
from model import applications
from model.errors import UserError
from model.params import Decoding
from tasks import params, register
from tasks.registry import records


def named(model: str, version: str | None = None) -> tuple[str, str]:
    """The application and the alias or number that a person means by `sentiment`, `sentiment/1`, `sentiment@challenger`.

    Raises:
        UserError: both `model` and `version` name a version.
    """
    asked = MODEL.fullmatch(model)
    if not asked:
        return model, version or "champion"
    if version is not None:
        raise UserError(f"predict: both {model} and --version {version} name a version; give one of them")
    return asked["name"], asked["version"] or asked["alias"]


def predict(
    root: Path,
    application: str,
    texts: Sequence[str],
    file: Path | None = None,
    version: str = "champion",
    decoding: Mapping[str, Any] | None = None,
    columns: Mapping[str, str] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """Inputs and predictions of a registered model, a row each; `version` is an alias or a number.

    `decoding` overrides numbers of Decoding; what it leaves out is as in the model's evaluation. `columns` says what the
    file calls the inputs.

    Raises:
        UserError: there is no such application, model or file, or an input is wrong.
    """
    described = applications.load(application)
    if bool(texts) == bool(file):
        raise UserError("predict: needs texts or --file, one of them; `stemma predict --help` shows an example")
    if columns and not file:
        raise UserError("--column: says how the columns of a --file are called; texts have none")
    rows = inputs.from_file(described, file, columns) if file else inputs.from_arguments(described, texts)
    unknown = set(decoding or {}) - {number.name for number in fields(Decoding)}
    if unknown:
        raise UserError(f"{min(unknown)}: no such number; there is {', '.join(number.name for number in fields(Decoding))}")
    if not rows:
        raise UserError(f"{file}: no rows in it, so there is nothing to answer; give a file that has some")
    model = register.load(root, application, version)

    from pandas import DataFrame

    code = (model.metadata.metadata or {})["stemma.code"]
    mistake = import_module(f"{code}.errors").UserError  # the bundled code has a class of its own
    try:
        predictions = DataFrame(model.predict(DataFrame(rows), params=dict(decoding or {})))
    except mistake as error:
        raise UserError(str(error)) from None
    return [row | prediction for row, prediction in zip(rows, predictions.to_dict("records"), strict=True)]


def generate(root: Path, base: str, prompt: str, given: Mapping[str, Any]) -> Iterator[str]:
    """What the base called `base` writes after `prompt`, piece by piece; numbers of Decoding that are not `given` are as for evaluation.

    Raises:
        UserError: there is no such base, it cannot write, or a number of `decoding` does not fit; before the first piece.
    """
    folder = root / "build" / "pretrain" / base
    if not (folder / "config.json").is_file():
        known = ", ".join(sorted(file.parent.name for file in folder.parent.glob("*/config.json"))) or "none yet"
        raise UserError(f"{base}: no such base in build/pretrain, there is {known}; `stemma run` makes those of params.yaml")

    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from model.backbone import is_decoder
    from model.decoding import stream

    if not is_decoder(AutoConfig.from_pretrained(folder)):
        raise UserError(f"{base}: an encoder fills gaps and cannot write on; name a decoder of params.yaml, section pretrain")
    section = params.section(params.read(root / "params.yaml"), "evaluate")
    decoding = Decoding(**({field.name: section[field.name] for field in fields(Decoding)} | dict(given)))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()
    pieces = stream(model, AutoTokenizer.from_pretrained(folder), prompt, decoding)
    return chain([next(pieces, "")], pieces)


def models(root: Path) -> list[dict[str, Any]]:
    """The registered versions: `{"name", "version", "aliases", "metrics", "verdict"}`; none before the first run."""
    return [version.to_json() for version in records.versions(root)]
