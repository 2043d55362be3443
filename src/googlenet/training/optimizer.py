"""Parameter groups: which parameters are trained, at what learning rate, with what decay."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import groupby
from math import sqrt
from operator import itemgetter

import torch
from torch import nn

from googlenet.models.googlenet import ConvUnit
from googlenet.runtime.errors import UsageError
from googlenet.training.muon import Muon
from googlenet.training.recipe import Recipe


@dataclass(frozen=True, order=True)
class GroupOptions:
    """What the parameters of a group have in common: `initial_lr` is the peak rate."""

    muon: bool
    weight_decay: float
    initial_lr: float


def build_optimizer(
    network: nn.Module, recipe: Recipe, pretrained_params: Collection[str] = ()
) -> torch.optim.Optimizer:
    """The recipe's optimizer over the network's trainable parameters.

    `pretrained_params`: names of the tensors that fine-tuning started from.
    Raises UsageError if everything is frozen.
    """
    trained = sorted(parameter_options(network, recipe, pretrained_params), key=itemgetter(1))
    if not trained:
        raise UsageError(f"freeze must leave something to train, got {recipe.freeze!r}")
    groups = [
        {"params": [parameter for parameter, _ in members]} | vars(options)
        for options, members in groupby(trained, itemgetter(1))
    ]
    nesterov = recipe.nesterov and recipe.momentum > 0
    if recipe.optimizer == "muon":
        return Muon(groups, recipe.learning_rate, recipe.momentum, nesterov=nesterov)
    return torch.optim.SGD(
        groups,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=nesterov,
        fused=True,
    )


def parameter_options(
    network: nn.Module, recipe: Recipe, pretrained_params: Collection[str] = ()
) -> list[tuple[nn.Parameter, GroupOptions]]:
    """Every trainable parameter's options, by the layer that owns it and its dimensions.

    With Muon, filters before batch normalization rotate and do not decay; the rest is scaled by
    `non_muon_lr_scale`.  Of the others, filters and weight matrices decay; biases and
    normalization (one dimension) do not.  Pretrained tensors are scaled by `pretrained_lr_scale`,
    an angle by its square root, as with the batch size.
    """
    rotated = normalized_filters(network) if recipe.optimizer == "muon" else frozenset()
    found = []
    for path, layer in network.named_modules():
        for name, parameter in layer.named_parameters(path, recurse=False):
            if not parameter.requires_grad:
                continue
            pretrained = recipe.pretrained_lr_scale if name in pretrained_params else 1.0
            if name in rotated:
                options = GroupOptions(True, 0.0, recipe.muon_lr * sqrt(pretrained))
            else:
                scale = pretrained * (recipe.non_muon_lr_scale if rotated else 1.0)
                scale *= recipe.bias_lr_scale if parameter is getattr(layer, "bias", None) else 1.0
                decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
                options = GroupOptions(False, decay, recipe.learning_rate * scale)
            found.append((parameter, options))
    return found


def normalized_filters(network: nn.Module) -> frozenset[str]:
    """Names of the trainable weights whose scale is removed by batch normalization."""
    return frozenset(
        f"{name}.conv.weight"
        for name, unit in network.named_modules()
        if isinstance(unit, ConvUnit)
        and isinstance(unit.bn, nn.BatchNorm2d)
        and unit.conv.weight.requires_grad
    )


def scale_learning_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set each group's learning rate to this factor of its peak rate."""
    for group in optimizer.param_groups:
        group["lr"] = factor * group["initial_lr"]


def freeze_up_to(network: nn.Module, stage: str) -> tuple[str, ...]:
    """Freeze every stage up to and including `stage`; returns their names.

    Batch normalization keeps its statistics there: the loop leaves these stages in eval mode.
    Raises UsageError for a stage that the network does not have.
    """
    if not stage:
        return ()
    stages = [name for name, _ in network.named_children() if not name.startswith("aux_")]
    if stage not in stages:
        raise UsageError(f"freeze must be one of {', '.join(stages)}, got {stage!r}")
    frozen = tuple(stages[: stages.index(stage) + 1])
    for name in frozen:
        network.get_submodule(name).requires_grad_(False)
    return frozen
