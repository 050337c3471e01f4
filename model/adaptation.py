"""Which part of a model is trained, and how fast: low-rank adapters, frozen layers, a learning rate that falls with depth."""

from collections.abc import Container
from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from .errors import UserError
from .params import Lora


def freeze(model: PreTrainedModel, num_layers: int) -> None:
    """Leave the embeddings and the first `num_layers` layers as they are; 0 freezes nothing.

    Raises:
        UserError: the model has fewer layers.
    """
    there = model.config.num_hidden_layers
    if num_layers > there:
        raise UserError(f"params.yaml: finetuning.frozen_layers: {num_layers}, and the base has {there} layers; lower it")
    for name, depth in depths(model).items():
        if num_layers and depth <= num_layers:
            model.get_parameter(name).requires_grad_(False)


def add_adapters(model: PreTrainedModel, base: str, lora: Lora, fresh: Container[str]) -> None:
    """Low-rank adapters (Hu et al., 2021; `peft`) on the linear modules that `lora` names for `base`; a base it does not name stays whole.

    Only the adapters are trained then, and the parameters in `fresh`: those that the base's checkpoint lacked. The adapters' first weights
    are drawn from torch's seed, and change nothing yet.

    Raises:
        UserError: the base has no such modules.
    """
    if base not in lora.modules:
        return
    from peft import LoraConfig, inject_adapter_in_model

    prefix = _prefix(model)
    linear = {
        prefix + name: module
        for name, module in model.base_model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and f"{prefix}{name}.weight" not in fresh
    }
    known = {name.rpartition(".")[2] for name in linear}
    if unknown := [name for name in lora.modules[base] if name not in known]:
        told = ", ".join(sorted(known))
        raise UserError(f"params.yaml: finetuning.lora.modules.{base}: no module {unknown[0]} in this base; there is {told}")
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # a number like any other
        lora_dropout=lora.dropout,
        target_modules=[name for name in linear if name.rpartition(".")[2] in lora.modules[base]],
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in linear.values()),
    )
    inject_adapter_in_model(config, model)
    for name, parameter in model.named_parameters():
        if name in fresh:
            parameter.requires_grad_(True)


def merge_adapters(model: PreTrainedModel) -> None:
    """Add what the adapters have learned to the weights they stand beside, and take them out: a plain model is left."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, module.get_base_layer())
    if hasattr(model, "peft_config"):
        del model.peft_config


def rate_scales(model: PreTrainedModel, layer_decay: float) -> dict[str, float]:
    """What each parameter's learning rate is multiplied by: `layer_decay` once for every layer between it and the head.

    Discriminative fine-tuning (Howard and Ruder, 2018), by powers of one number (Clark et al., 2020).
    """
    top = model.config.num_hidden_layers + 1
    return {name: layer_decay ** (top - depth) for name, depth in depths(model).items()}


def depths(model: PreTrainedModel) -> dict[str, int]:
    """How deep each parameter lies: embeddings 0, layers from 1, what stands behind the last layer one more than that.

    Modules are registered in the order in which they are used, in each architecture here.
    """
    num_layers = model.config.num_hidden_layers
    inside = f"{_prefix(model)}{layers(model)[0]}."
    depth, found = 0, {}
    for name, _ in model.named_parameters():
        if name.startswith(inside):
            depth = 1 + int(name.removeprefix(inside).partition(".")[0])
        elif depth:
            depth = num_layers + 1
        found[name] = depth
    return found


def layers(model: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """The layers of a model, and their name within its base."""
    base: Any = model.base_model
    num_layers = model.config.num_hidden_layers
    return next((name, module) for name, module in base.named_modules() if isinstance(module, nn.ModuleList) and len(module) == num_layers)


def _prefix(model: PreTrainedModel) -> str:
    """Of the names of the base's parameters in a model with a head."""
    return "" if model.base_model is model else f"{model.base_model_prefix}."
