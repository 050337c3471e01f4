"""A checkpoint to go on from, as it lies in data/pretrained: a Hugging Face folder with its tokenizer, or a GGUF file that holds both."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Origin:
    """Where `from_pretrained` finds it."""

    folder: Path
    gguf: str | None

    def tokenizer(self) -> "PreTrainedTokenizerBase":
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.folder, gguf_file=self.gguf)

    def model(self, context: int, seed: int) -> "PreTrainedModel":
        """The model in float32 with a language modelling head; a head that the checkpoint lacks is drawn from `seed`.

        Raises:
            UserError: it has no positions for `context` tokens.
        """
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

        from model.backbone import is_decoder

        config = AutoConfig.from_pretrained(self.folder, gguf_file=self.gguf)
        if config.max_position_embeddings < context:
            raise UserError(f"params.yaml: tokenizer.context: {context} is more than the positions of {self.folder.name}; lower it")
        auto = AutoModelForCausalLM if is_decoder(config) else AutoModelForMaskedLM
        torch.manual_seed(seed)
        opened = auto.from_pretrained(self.folder, gguf_file=self.gguf, dtype=torch.float32, attn_implementation="sdpa")
        if self.gguf is None:
            return opened
        del opened.config.quantization_config  # its weights are plain numbers by now, and are to be saved as such
        plain = auto.from_config(opened.config, dtype=torch.float32, attn_implementation="sdpa")
        plain.load_state_dict(opened.state_dict())
        return plain


def find(folder: Path, name: str) -> Origin:
    """The checkpoint called `name` under `folder`.

    Raises:
        UserError: there is none, or files of it are missing.
    """
    gguf = next((file.name for file in sorted((folder / name).glob("*.gguf"))), None)
    missing = [file for file in ("config.json", "tokenizer.json") if not gguf and not (folder / name / file).exists()]
    if missing:
        known = ", ".join(json.loads((folder / "checkpoints.json").read_text(encoding="utf-8"))) or "none"
        wrong = f"{name} is no checkpoint with its tokenizer (no {missing[0]} in data/pretrained/{name})"
        raise UserError(f"params.yaml: pretrain: init_from: {wrong}; there is {known}, `stemma ingest SOURCE` fetches one")
    return Origin(folder / name, gguf)
