"""Activations by name: before and after the ReLU, in the graph, with nothing left behind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from googlenet import GoogLeNet
from googlenet.models import table
from googlenet.runtime.errors import UsageError


def small(variant: str = "bn") -> GoogLeNet:
    generator = torch.Generator().manual_seed(1)
    return GoogLeNet(variant, classes=3, width=0.125, generator=generator).eval()


def photos() -> torch.Tensor:
    return torch.randn(2, 3, 64, 64)


def hooks(network: nn.Module) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) for module in network.modules()
    )


@pytest.mark.parametrize("variant", ["paper", "bn", "google2014"])
def test_before_and_after_the_relu(variant: str) -> None:
    network = small(variant)
    names = ["conv1", "inception_4a.5x5_reduce", "inception_4a.5x5", "aux_4a.conv", "aux_4a.fc"]
    with network.tap(*names, *(f"{name}:pre" for name in names)) as activations:
        network.forward_heads(photos())
    for name in names:
        before = activations[f"{name}:pre"]
        assert (before < 0).any(), name
        torch.testing.assert_close(activations[name], before.relu())


def test_before_the_relu_is_after_the_normalization() -> None:
    network = small("bn")
    unit = network.get_submodule("inception_3a.3x3")
    with network.tap("inception_3a.3x3_reduce", "inception_3a.3x3:pre") as activations:
        network(photos())
    expected = unit.bn(unit.conv(activations["inception_3a.3x3_reduce"]))  # type: ignore[operator]
    torch.testing.assert_close(activations["inception_3a.3x3:pre"], expected)


def test_a_module_is_its_branches_side_by_side() -> None:
    network = small("paper")
    branches = [f"inception_4a.{branch}" for branch in ("1x1", "3x3", "5x5", "pool_proj")]
    with network.tap("inception_4a", *branches) as activations:
        network(photos())
    together = torch.cat([activations[branch] for branch in branches], dim=1)
    assert torch.equal(activations["inception_4a"], together)


@pytest.mark.parametrize("variant", table.VARIANTS)
def test_every_name_gives_an_activation(variant: str) -> None:
    network = small(variant)
    names = network.tap_names()
    with network.tap(*names) as activations:
        network.forward_heads(photos())
    assert set(activations) == set(names)
    assert len(names) == len(set(names))
    assert {"conv1", "inception_3a.1x1:pre", "inception_5b", "classifier"} <= set(names)


def test_inner_layers_of_a_unit_have_no_name() -> None:
    names = small("google2014").tap_names()
    inner = ("conv1.", "inception_3a.1x1.", "aux_4a.fc.")
    assert not [name for name in names if name.startswith(inner)]
    assert "inception_3a.3x3_reduce" not in small("naive").tap_names()


def test_gradients_flow_through_a_tapped_tensor() -> None:
    network, x = small("paper"), photos().requires_grad_()
    with network.tap("inception_4a") as activations:
        logits = network(x)
    target = activations["inception_4a"]
    upstream, downstream = torch.autograd.grad(
        [target.sum(), logits.sum()], [x, target], retain_graph=True
    )
    assert upstream.abs().sum() > 0
    assert downstream.shape == target.shape
    assert downstream.abs().sum() > 0


def test_nothing_is_left_behind() -> None:
    network = small()
    with network.tap("conv1", "inception_4a.5x5:pre", "classifier"):
        network(photos())
        assert hooks(network) == 3
    assert hooks(network) == 0


def test_nothing_is_left_behind_by_an_exception() -> None:
    network = small()
    with pytest.raises(RuntimeError, match="stop"), network.tap("conv1", "conv2:pre"):
        raise RuntimeError("stop")
    assert hooks(network) == 0


def test_tapping_changes_no_output() -> None:
    network, x = small(), photos()
    with network.tap(*network.tap_names()):
        tapped = network(x)
    assert torch.equal(tapped, network(x))


@pytest.mark.parametrize(
    "name", ["inception_4f", "conv1:post", "conv1.relu", "pool1:pre", "", ":pre", "conv1:pre:pre"]
)
def test_unknown_names_are_refused(name: str) -> None:
    network = small()
    message = f"tap must name an activation of the network, got {name!r}"
    with pytest.raises(UsageError, match=message), network.tap("conv1", name):
        pass
    assert hooks(network) == 0


def test_a_second_pass_replaces_the_first() -> None:
    network = small()
    with network.tap("conv1") as activations:
        network(photos())
        first = activations["conv1"]
        network(photos())
    assert not torch.equal(first, activations["conv1"])
