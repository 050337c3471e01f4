"""Whether the bases that are to be made will have what is asked of them; told before there are any. Imports nothing heavy."""

from collections.abc import Mapping
from pathlib import Path

from model import applications, generation
from model.architectures import ENCODERS, MODULES
from model.errors import UserError
from tasks import augmenting, checkpoint, dimensions, finetune, pretrain
from tasks.dimensions import Dimensions

ROTARY = ("modernbert", "llama")  # positions are angles of pairs of numbers


def check_base(name: str, params: pretrain.Params) -> None:
    """Look at what base `name` begins from: a name in data/pretrained, or a shape.

    Raises:
        UserError: it is no plain name, or the heads do not divide the hidden size.
    """
    if params.init_from is not None:
        if Path(params.init_from).name != params.init_from:
            there = f"{params.init_from!r} is no name of a checkpoint in data/pretrained"
            raise UserError(f"params.yaml: pretrain.{name}.init_from: {there}; bring it in with `stemma ingest PATH --to pretrained`")
        return
    size, rest = divmod(params.hidden_size, params.num_heads)
    if rest or (size % 2 and params.architecture in ROTARY):
        wanted = "an even number for each head" if not rest else "a whole number for each head"
        there = f"hidden_size {params.hidden_size} by num_heads {params.num_heads} is not {wanted}"
        raise UserError(f"params.yaml: pretrain.{name}: {there}; change one of them")


def check(
    name: str, tunings: Mapping[str, finetune.Params], bases: Mapping[str, pretrain.Params], context: int, checkpoints: Path | None
) -> None:
    """Look at what the fine-tuning for application `name` asks of `bases`, and of the other fine-tunings.

    `context`: of the tokenizer's blocks, in tokens; `checkpoints`: where those are that bases start from, None if they are not there yet.

    Raises:
        UserError: there is no such base, or it cannot do what is asked or is too small for it; adapters name a module that is none; a
            decoder's prompts go through a chat template that it lacks; augmentation reads what is not made, or needs an encoder and has
            none.
    """
    params = tunings[name]
    base = bases.get(params.base)
    if base is None:
        raise UserError(f"params.yaml: finetune.{name}.base: {params.base or 'nothing'}: no such base; there is {', '.join(bases)}")
    if base.architecture in ENCODERS and applications.load(name).open_model is generation.open_model:
        decoders = [other for other, numbers in bases.items() if numbers.architecture not in ENCODERS]
        raise UserError(
            f"params.yaml: finetune.{name}.base: {params.base} is an encoder and cannot write; set it to {' or '.join(decoders)}"
        )
    if base.init_from is None:
        _check_size(name, params, Dimensions(base.num_layers, max(pretrain.MAX_POSITIONS, context)))
    elif checkpoints:
        _check_size(name, params, dimensions.of(checkpoints / base.init_from))
    _check_augmentation(name, tunings, bases)
    if checkpoints or all(other.init_from is None for other in bases.values()):
        _check_start(params, bases, checkpoints or Path())


def check_positions(params: pretrain.Params, context: int, checkpoints: Path) -> None:
    """Look whether what a base goes on from can read blocks of `context` tokens.

    Raises:
        UserError: it cannot.
    """
    positions = dimensions.of(checkpoints / params.init_from).positions if params.init_from else None
    if positions is not None and context > positions:
        there = f"{context} tokens, and {params.init_from} has {positions} positions"
        raise UserError(f"params.yaml: tokenizer.context: {there}; lower it")


def _check_size(name: str, params: finetune.Params, base: Dimensions) -> None:
    if base.positions is not None and params.context > base.positions:
        there = f"{params.context} tokens, and the base has {base.positions} positions"
        raise UserError(f"params.yaml: finetune.{name}.context: {there}; lower it")
    if base.layers is not None and params.frozen_layers > base.layers:
        there = f"{params.frozen_layers}, and the base has {base.layers} layers"
        raise UserError(f"params.yaml: finetune.{name}.frozen_layers: {there}; lower it")


def _check_augmentation(name: str, tunings: Mapping[str, finetune.Params], bases: Mapping[str, pretrain.Params]) -> None:
    params = tunings[name]
    encoders = [f"pretrain/{base}" for base, numbers in bases.items() if numbers.architecture in ENCODERS]
    made = [augmenting.CORPUS, *(f"pretrain/{base}" for base in bases), *(f"finetune/{other}" for other in tunings)]
    if params.reads not in made:
        raise UserError(f"params.yaml: finetune.{name}.reads: {params.reads or 'nothing'} is not made; there is {', '.join(made)}")
    if "masked_lm" in params.augment and not {params.reads, f"pretrain/{params.base}"} & set(encoders):
        raise UserError(f"params.yaml: finetune.{name}.augment: masked_lm needs an encoder; set reads to {' or '.join(encoders)}")


def _check_start(params: finetune.Params, bases: Mapping[str, pretrain.Params], checkpoints: Path) -> None:
    if params.lora and not params.lora.modules:
        raise UserError("params.yaml: finetuning.lora.modules: no base in it; name one with its modules, or set lora to null")
    for name, modules in params.lora.modules.items() if params.lora else ():
        if name not in bases:
            raise UserError(f"params.yaml: finetuning.lora.modules.{name}: no such base; there is {', '.join(bases)}")
        known = MODULES[_start(bases[name], checkpoints).architecture]
        if unknown := [module for module in modules if module not in known]:
            there = f"no module {unknown[0]} in this base; there is {', '.join(sorted(known))}"
            raise UserError(f"params.yaml: finetuning.lora.modules.{name}: {there}")
    base = bases[params.base]
    if params.chat and base.architecture not in ENCODERS and not _start(base, checkpoints).chat:
        there = f"the tokenizer of {params.base} has no chat template"
        raise UserError(f"params.yaml: finetuning.chat: {there}; set it to false, or begin from a checkpoint that has one")


def _start(base: pretrain.Params, checkpoints: Path) -> checkpoint.Facts:
    """A checkpoint, or a shape and a tokenizer of ours."""
    if base.init_from is None:
        return checkpoint.Facts(base.architecture, rows=0, tokens=0)
    return checkpoint.facts(checkpoints / base.init_from, f"params.yaml: pretrain: init_from: {base.init_from}")
