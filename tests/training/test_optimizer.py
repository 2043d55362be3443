"""Which parameters decay, learn twice as fast, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from googlenet.models.registry import build_network
from googlenet.runtime.errors import UsageError
from googlenet.training.optimizer import build_optimizer, freeze_up_to, scale_learning_rates
from googlenet.training.recipe import Recipe
from googlenet.training.recipes import BVLC, MODERN

SGD = MODERN.with_settings({"optimizer": "sgd"})


def network(variant: str = "bn") -> nn.Module:
    return build_network(variant, 3, size=32, width=0.05)


def grouped(
    net: nn.Module, recipe: Recipe, carried: tuple[str, ...] = ()
) -> dict[str, tuple[Any, Any]]:
    """Each parameter's weight decay, and its peak learning rate over the recipe's."""
    names = {id(p): name for name, p in net.named_parameters()}
    found = {}
    for group in build_optimizer(net, recipe, carried).param_groups:
        for parameter in group["params"]:
            found[names[id(parameter)]] = (
                group["weight_decay"],
                pytest.approx(group["initial_lr"] / recipe.learning_rate),
            )
    return found


@pytest.mark.parametrize("variant", ["bn", "paper", "slim"])
def test_weights_decay_biases_and_normalization_do_not(variant: str) -> None:
    net = network(variant)
    found = grouped(net, SGD)
    for path, layer in net.named_modules():
        for name, _ in layer.named_parameters(recurse=False):
            filters = isinstance(layer, nn.Conv2d | nn.Linear) and name == "weight"
            assert found[f"{path}.{name}"] == (5e-4 if filters else 0.0, 1.0)
    assert len(found) == len(list(net.parameters()))


def test_bvlc_s_biases_learn_twice_as_fast_without_decay() -> None:
    found = grouped(network("paper"), BVLC)
    assert all(
        value == ((0.0, 2.0) if name.endswith("bias") else (2e-4, 1.0))
        for name, value in found.items()
    )


def test_normalization_s_weight_is_no_bias() -> None:
    found = grouped(network("bn"), SGD.with_settings({"bias_lr_scale": 2}))
    assert found["conv1.bn.weight"] == (0.0, 1.0)
    assert found["conv1.bn.bias"] == (0.0, 2.0)


def test_tensors_brought_along_learn_at_the_early_rate() -> None:
    recipe = SGD.with_settings({"pretrained_lr_scale": 0.1})
    found = grouped(network(), recipe, ("conv1.conv.weight", "conv1.bn.bias"))
    assert found["conv1.conv.weight"] == (5e-4, 0.1)
    assert found["conv1.bn.bias"] == (0.0, 0.1)
    assert found["classifier.weight"] == (5e-4, 1.0)


@pytest.mark.parametrize("nesterov", [False, True])
def test_two_steps_are_those_of_the_formula(nesterov: bool) -> None:
    """v ← m·v + g + λw; w ← w − r·v, with Nesterov − r·(g + λw + m·v) (Sutskever et al. 2013)."""
    net = nn.Sequential(nn.Linear(3, 2))
    recipe = SGD.with_settings({"nesterov": nesterov, "bias_lr_scale": 2, "weight_decay": 0.01})
    optimizer = build_optimizer(net, recipe)
    expected = {n: p.detach().double() for n, p in net.named_parameters()}
    velocity = {n: torch.zeros_like(p) for n, p in expected.items()}
    for rate in (0.1, 0.05):
        scale_learning_rates(optimizer, rate / recipe.learning_rate)
        for name, parameter in net.named_parameters():
            parameter.grad = torch.randn_like(parameter)
            decay, factor = (0.0, 2.0) if name.endswith("bias") else (0.01, 1.0)
            gradient = parameter.grad.double() + decay * expected[name]
            velocity[name] = 0.9 * velocity[name] + gradient
            step = gradient + 0.9 * velocity[name] if nesterov else velocity[name]
            expected[name] = expected[name] - rate * factor * step
        optimizer.step()
    for name, parameter in net.named_parameters():
        assert torch.allclose(parameter, expected[name].float(), atol=1e-6)


def test_freezing_stops_every_stage_up_to_the_named_one() -> None:
    net = network()
    frozen = freeze_up_to(net, "inception_3a")
    assert frozen == ("conv1", "pool1", "conv2_reduce", "conv2", "pool2", "inception_3a")
    for name, parameter in net.named_parameters():
        assert parameter.requires_grad is (name.split(".")[0] not in frozen), name
    names = {id(p) for g in build_optimizer(net, MODERN).param_groups for p in g["params"]}
    assert names == {id(p) for p in net.parameters() if p.requires_grad}


def test_nothing_is_frozen_by_default() -> None:
    net = network()
    assert freeze_up_to(net, "") == ()
    assert all(p.requires_grad for p in net.parameters())


def test_stage_that_the_network_lacks() -> None:
    with pytest.raises(UsageError, match=r"freeze must be one of conv1, pool1, .*, got 'layer3'"):
        freeze_up_to(network(), "layer3")
    with pytest.raises(UsageError, match="got 'aux_4a'"):
        freeze_up_to(network(), "aux_4a")


def test_something_must_be_left_to_train() -> None:
    net = build_network("bn", 3, size=32, width=0.05, with_aux_heads=False)
    freeze_up_to(net, "classifier")
    with pytest.raises(UsageError, match="freeze must leave something to train"):
        build_optimizer(net, MODERN)
