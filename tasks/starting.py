"""Whether the bases that are to be made will have what a fine-tuning asks of them; told before there are any. Imports nothing heavy."""

from collections.abc import Mapping
from pathlib import Path

from model.architectures import ENCODERS, MODULES
from model.errors import UserError
from tasks import checkpoint, finetune, pretrain


def check(params: finetune.Params, bases: Mapping[str, pretrain.Params], checkpoints: Path) -> None:
    """Look at the shapes of `bases`, and at the checkpoints under `checkpoints` from which they start.

    Raises:
        UserError: adapters name a base or a module that is none, or a decoder's prompts go through a chat template that it lacks.
    """
    for name, modules in params.lora.modules.items() if params.lora else ():
        if name not in bases:
            raise UserError(f"params.yaml: finetuning.lora.modules.{name}: no such base; there is {', '.join(bases)}")
        known = MODULES[_start(bases[name], checkpoints).architecture]
        if unknown := [module for module in modules if module not in known]:
            there = f"no module {unknown[0]} in this base; there is {', '.join(sorted(known))}"
            raise UserError(f"params.yaml: finetuning.lora.modules.{name}: {there}")
    base = bases.get(params.base)
    if params.chat and base and base.architecture not in ENCODERS and not _start(base, checkpoints).chat:
        there = f"the tokenizer of {params.base} has no chat template"
        raise UserError(f"params.yaml: finetuning.chat: {there}; set it to false, or begin from a checkpoint that has one")


def _start(base: pretrain.Params, checkpoints: Path) -> checkpoint.Facts:
    """A checkpoint, or a shape and a tokenizer of ours."""
    if base.init_from is None:
        return checkpoint.Facts(base.architecture, rows=0, tokens=0)
    return checkpoint.facts(checkpoints / base.init_from, f"params.yaml: pretrain: init_from: {base.init_from}")
