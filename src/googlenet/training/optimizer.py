"""Which parameters learn, how fast, and which decay."""

from __future__ import annotations

from collections.abc import Collection
from itertools import groupby
from math import sqrt

import torch
from torch import nn

from googlenet.models.googlenet import ConvUnit
from googlenet.runtime.errors import UsageError
from googlenet.training.muon import Muon
from googlenet.training.recipe import Recipe


def build_optimizer(
    network: nn.Module, recipe: Recipe, carried: Collection[str] = ()
) -> torch.optim.Optimizer:
    """The recipe's optimizer over the network's parameters, in groups of one rate and decay.

    A weight matrix or filter decays; biases and normalisation (one dimension) only where the
    recipe says so.  Muon turns the filters before batch normalisation, which do not decay; the
    rest learns at `rest_rate` of the rate.
    `carried` names the tensors that fine-tuning brought along, which learn at `early_rate`, or
    turn at its root.
    Each group keeps its factor under "factor"; the loop sets "lr".
    """
    muon = recipe.optimizer == "muon"
    turning = normalised_filters(network) if muon else frozenset()
    rest_rate = recipe.non_muon_lr_scale if turning else 1.0

    def key(named: tuple[str, nn.Parameter]) -> tuple[bool, float, float]:
        name, parameter = named
        vector, turns = parameter.ndim <= 1, name in turning
        decays = not turns and not vector
        factor = recipe.bias_lr_scale if vector and name.endswith("bias") else 1.0
        if not turns:
            factor *= rest_rate
        if name in carried:  # an angle goes with the square root, as it does with the batch
            factor *= sqrt(recipe.pretrained_lr_scale) if turns else recipe.pretrained_lr_scale
        return turns, recipe.weight_decay if decays else 0.0, factor

    trained = sorted(((n, p) for n, p in network.named_parameters() if p.requires_grad), key=key)
    if not trained:
        raise UsageError(f"freeze must leave something to train, got {recipe.freeze!r}")
    radians = recipe.muon_lr / recipe.learning_rate if recipe.learning_rate else 0.0
    groups = [
        {
            "params": list(members),
            "weight_decay": decay,
            "factor": factor,
            "turn": radians if turns else 0.0,
        }
        for (turns, decay, factor), members in groupby(trained, key)
    ]
    nesterov = recipe.nesterov and recipe.momentum > 0
    if muon:
        return Muon(groups, recipe.learning_rate, recipe.momentum, nesterov=nesterov)
    return torch.optim.SGD(
        groups,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=nesterov,
        fused=True,
    )


def normalised_filters(network: nn.Module) -> frozenset[str]:
    """The weights, of those that learn, whose scale batch normalisation takes out, by name."""
    return frozenset(
        f"{name}.conv.weight"
        for name, unit in network.named_modules()
        if isinstance(unit, ConvUnit)
        and isinstance(unit.bn, nn.BatchNorm2d)
        and unit.conv.weight.requires_grad
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]


def freeze_up_to(network: nn.Module, stage: str) -> tuple[str, ...]:
    """Stop training of every stage up to and including `stage`; returns their names.

    Their batch normalisation keeps its statistics: the loop leaves these stages in eval mode.
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
