"""A checkpoint to go on from, as it lies in data/pretrained: a Hugging Face folder with its tokenizer, or a GGUF file that holds both."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model.errors import UserError
from tasks import checkpoint

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


def find(folder: Path, name: str, architecture: str) -> Origin:
    """The checkpoint called `name` under `folder`, for a base of the kind that `architecture` is; nothing heavy is imported.

    Raises:
        UserError: there is none, something is wrong with it, or it is of the other kind.
    """
    place = folder / name
    if not place.is_dir():
        known = sorted(file.name for file in folder.iterdir() if file.is_dir()) if folder.is_dir() else []
        advice = "`stemma ingest SOURCE` or `stemma ingest PATH --to pretrained` brings one in"
        raise UserError(f"params.yaml: pretrain: init_from: no checkpoint {name}; there is {', '.join(known) or 'none'}, {advice}")
    facts = checkpoint.facts(place, f"params.yaml: pretrain: init_from: {name}")
    kind, wanted = (checkpoint.kind_of(one) for one in (facts.architecture, architecture))
    if kind != wanted:
        wrong = f"{name} is {kind} ({facts.architecture}), and a base whose architecture is {architecture} is {wanted}"
        raise UserError(f"params.yaml: pretrain: init_from: {wrong}; name another checkpoint, or change the architecture")
    weights = next((file.name for file in sorted(place.glob("*.gguf"))), None)
    return Origin(place, None if any(place.glob("*.safetensors")) else weights)
