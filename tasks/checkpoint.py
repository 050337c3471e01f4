"""A pretrained checkpoint as files: which of a folder's they are, and whether they fit each other. No weights are loaded.

It is a Hugging Face folder (config.json, tokenizer.json and safetensors) or one GGUF file that holds all of that.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.architectures import CHECKPOINTS, ENCODERS, GGUF
from model.errors import UserError
from tasks import gguf_header

BESIDE = (  # the weights, what a folder may have of use
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)
NEEDED = ("config.json", "tokenizer.json")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
EMBEDDINGS = ("embeddings.word_embeddings.weight", "embeddings.tok_embeddings.weight", "embed_tokens.weight", "wte.weight")
SPARE = 0.05  # of the rows of an embedding, which is often made larger than its vocabulary to be a round number


@dataclass(frozen=True)
class Facts:
    """What a checkpoint says about itself."""

    architecture: str
    rows: int  # of its embedding
    tokens: int  # one more than its tokenizer's highest id
    chat: bool = False  # its tokenizer has a chat template


def kind_of(architecture: str) -> str:
    """In a person's words."""
    return "an encoder" if architecture in ENCODERS else "a decoder"


def chosen(files: Sequence[Path], name: str) -> list[Path]:
    """Of the files of a folder or archive called `name`, those of the checkpoint in it; what else lies there is left out.

    Raises:
        UserError: there is none, its weights are pickles, or there are several.
    """
    weights = [file for file in files if file.suffix == ".safetensors"] or [file for file in files if file.suffix == ".gguf"]
    if not weights:
        pickles = [file.name for file in files if file.suffix in PICKLES]
        if pickles:
            raise UserError(f"{name}: {pickles[0]} is a pickle, which can run any code; save the model as safetensors")
        raise UserError(f"{name}: no checkpoint (neither *.safetensors nor *.gguf in it); give a Hugging Face folder or a GGUF file")
    depth = min(len(file.parts) for file in weights)
    highest = [file for file in weights if len(file.parts) == depth]
    folder = highest[0].parent
    if any(file.parent != folder for file in highest) or (highest[0].suffix == ".gguf" and len(highest) > 1):
        raise UserError(f"{name}: several checkpoints ({', '.join(file.name for file in highest)}); name one of them")
    if highest[0].suffix == ".gguf":
        return highest
    beside = [file for file in files if file.parent == folder and file.name in (*BESIDE, "model.safetensors.index.json")]
    return sorted([*highest, *beside])


def facts(folder: Path, name: str) -> Facts:
    """What lies in `folder` fits together, and says this about itself; messages call it `name`.

    Raises:
        UserError: a file is missing or damaged, a pickle or quantized; the architecture is not known here; the tokenizer has another
            vocabulary than the embedding.
    """
    files = chosen(sorted(file for file in folder.iterdir() if file.is_file()), name)
    packed = files[0].suffix == ".gguf"
    found, known = (_of_gguf(files[0], name), GGUF) if packed else (_of_folder(files, name), CHECKPOINTS)
    if found.architecture not in known:
        raise UserError(f"{name}: architecture {found.architecture!r} cannot be gone on from; there is {', '.join(known)}")
    if not (1 - SPARE) * found.rows <= found.tokens <= found.rows:
        wrong = f"its tokenizer has {found.tokens} tokens, and its embedding {found.rows} rows"
        raise UserError(f"{name}: {wrong}; take the tokenizer that it was trained with")
    return found


def _of_gguf(file: Path, name: str) -> Facts:
    header = gguf_header.read(file, name if name == file.name else f"{name}: {file.name}")
    missing = [key for key in ("general.architecture", "tokenizer.ggml.tokens") if key not in header.values]
    if missing or "token_embd.weight" not in header.shapes:
        raise UserError(f"{name}: {(*missing, 'token_embd.weight')[0]} is missing in {file.name}; take a file with model and tokenizer")
    return Facts(
        architecture=header.values["general.architecture"],
        rows=header.shapes["token_embd.weight"][-1],
        tokens=header.values["tokenizer.ggml.tokens"],
        chat="tokenizer.chat_template" in header.values,
    )


def _of_folder(files: Sequence[Path], name: str) -> Facts:
    named = {file.name: file for file in files}
    for needed in NEEDED:
        if needed not in named:
            raise UserError(f"{name}: no {needed}; `save_pretrained` of model and tokenizer writes a whole checkpoint")
    config = _json(named["config.json"], name)
    if "quantization_config" in config:
        raise UserError(f"{name}: its weights are quantized, and cannot be trained; take the checkpoint it was made from")
    rows = [rows for file in files if file.suffix == ".safetensors" for rows in _embeddings(file, name)]
    settings = _json(named["tokenizer_config.json"], name) if "tokenizer_config.json" in named else {}
    return Facts(
        architecture=str(config.get("model_type")),
        rows=rows[0] if rows else config.get("vocab_size", 0),
        tokens=_tokens(named["tokenizer.json"], name),
        chat="chat_template.jinja" in named or "chat_template" in settings,
    )


def _embeddings(file: Path, name: str) -> list[int]:
    """The rows of the embedding, if it is in this file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as opened:
            return [opened.get_slice(key).get_shape()[0] for key in opened.keys() if key.endswith(EMBEDDINGS)]  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(f"{name}: {file.name} is damaged ({error}); get it again") from None


def _tokens(file: Path, name: str) -> int:
    tokenizer = _json(file, name)
    try:
        vocabulary = tokenizer["model"]["vocab"]
        ids = vocabulary.values() if isinstance(vocabulary, Mapping) else range(len(vocabulary))  # Unigram has a list
        return 1 + max([*ids, *(token["id"] for token in tokenizer.get("added_tokens", ()))])
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{name}: {file.name} is no tokenizer with a vocabulary; `save_pretrained` of a fast tokenizer writes it") from None


def _json(file: Path, name: str) -> Any:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{name}: {file.name} is not JSON ({error}); get it again") from None
    if not isinstance(found, dict):
        raise UserError(f"{name}: {file.name} holds no JSON object; get it again")
    return found
