"""Which parameters learn, how fast, and which decay."""

from __future__ import annotations

from collections.abc import Collection
from itertools import groupby

import torch
from torch import nn

from googlenet.errors import UsageError
from googlenet.training.recipes import Recipe


def build_optimizer(
    network: nn.Module, recipe: Recipe, carried: Collection[str] = ()
) -> torch.optim.Optimizer:
    """SGD over the network's parameters, in groups of one rate and decay.

    A weight matrix or filter decays; biases and normalisation (one dimension) only where the
    recipe says so.  `carried` names the tensors that fine-tuning brought along, which learn at
    `early_rate`.  Each group keeps its factor under "factor"; the loop sets "lr".
    """

    def key(named: tuple[str, nn.Parameter]) -> tuple[float, float]:
        name, parameter = named
        vector = parameter.ndim <= 1
        decay = recipe.weight_decay if not vector or recipe.decay_biases else 0.0
        factor = recipe.bias_rate if vector and name.endswith("bias") else 1.0
        return decay, factor * (recipe.early_rate if name in carried else 1.0)

    trained = sorted(((n, p) for n, p in network.named_parameters() if p.requires_grad), key=key)
    if not trained:
        raise UsageError(f"freeze must leave something to train, got {recipe.freeze!r}")
    groups = [
        {"params": list(members), "weight_decay": decay, "factor": factor}
        for (decay, factor), members in groupby(trained, key)
    ]
    return torch.optim.SGD(
        groups,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov and recipe.momentum > 0,
        fused=True,
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
