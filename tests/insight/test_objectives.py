"""Objectives: their algebra, their units, and their gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from googlenet.insight.objectives import (
    Objective,
    channel,
    direction,
    diversity,
    energy,
    locate,
    logit,
    neuron,
    unit_count,
)
from googlenet.insight.render import evaluate, frozen
from googlenet.models.registry import Network, build_network
from googlenet.models.table import VARIANTS
from googlenet.runtime.errors import UsageError


def small(variant: str = "bn", channels: int = 3) -> Network:
    generator = torch.Generator().manual_seed(0)
    return build_network(
        variant, 3, size=64, in_channels=channels, width=0.05, with_aux_heads=False,
        generator=generator,
    ).eval()  # fmt: skip


def images(count: int = 2, channels: int = 3, seed: int = 0) -> Tensor:
    return torch.randn(count, channels, 64, 64, generator=torch.Generator().manual_seed(seed))


def test_objectives_add_and_multiply() -> None:
    network, x = small(), images()
    a, b = channel(network, "inception_4a", 3), neuron(network, "inception_3b", 1)
    both = evaluate(network, 2 * a - b * 0.5 + -a, x)
    expected = evaluate(network, a, x) - 0.5 * evaluate(network, b, x)
    torch.testing.assert_close(both, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("variant", [*VARIANTS, "alexnet"])
def test_units_are_those_of_the_layer_before_the_relu(variant: str) -> None:
    network = small(variant)
    layer = "inception_4a" if variant != "alexnet" else "conv3"
    x = images()
    with network.tap(layer) as found:
        network(x)
    count = unit_count(network, layer)
    assert 0 < count <= found[layer].shape[1]
    for unit in {0, count // 2, count - 1}:
        tap, index = locate(network, layer, unit)
        with network.tap(tap) as before:
            network(x)
        assert tap.endswith(":pre") or (variant == "naive" and tap.endswith(".pool"))
        torch.testing.assert_close(before[tap][:, index].relu(), found[layer][:, unit])
    with pytest.raises(UsageError, match=f"from 0 to {count - 1}, got {count}"):
        locate(network, layer, count)


def test_a_direction_is_the_sum_of_its_channels() -> None:
    network, x = small(), images()
    vector = torch.zeros(unit_count(network, "inception_4a"))
    vector[[2, 20]] = torch.tensor([1.0, -3.0])
    found = evaluate(network, direction(network, "inception_4a", vector), x)
    parts = channel(network, "inception_4a", 2) - 3 * channel(network, "inception_4a", 20)
    torch.testing.assert_close(found, evaluate(network, parts, x), rtol=1e-4, atol=1e-5)
    with pytest.raises(UsageError, match="must have"):
        direction(network, "inception_4a", vector[1:])


def test_a_class_is_its_logit() -> None:
    network, x = small(), images()
    torch.testing.assert_close(evaluate(network, logit(2), x), network(x)[:, 2])


def test_nothing_beyond_the_layer_is_computed() -> None:
    network = small()
    network.get_submodule("inception_4b").register_forward_hook(
        lambda *_: pytest.fail("the next module ran")
    )
    evaluate(network, channel(network, "inception_4a", 0), images())


def test_alike_images_have_no_diversity() -> None:
    network = small()
    same = evaluate(network, diversity("inception_4a"), images(1).expand(3, 3, 64, 64))
    torch.testing.assert_close(same, -torch.ones(3))
    other = evaluate(network, diversity("inception_4a"), images(3))
    assert (other > same).all()


@pytest.mark.parametrize("make", [channel, neuron])
def test_gradients_are_differences(make: type[Objective]) -> None:
    network = small().double()
    objective = make(network, "inception_4a", 5)  # type: ignore[call-arg,arg-type]
    x = images(1).double().requires_grad_()
    (gradient,) = torch.autograd.grad(evaluate(network, objective, x).sum(), [x])
    step = 1e-6 * gradient / gradient.norm()
    with torch.no_grad():
        ahead, behind = (evaluate(network, objective, x + s).item() for s in (step, -step))
    assert (ahead - behind) / 2e-6 == pytest.approx(float(gradient.norm()), rel=1e-4)


def test_energy_grows_with_the_map() -> None:
    network, x = small(), images()
    with network.tap("inception_3b") as found:
        network(x)
    expected = found["inception_3b"].square().flatten(1).sum(1) / 2
    torch.testing.assert_close(evaluate(network, energy("inception_3b"), x), expected)


def fail_inside(network: Network) -> None:
    with frozen(network):
        assert not network.training
        assert not any(p.requires_grad for p in network.parameters())
        raise ZeroDivisionError


def test_a_network_is_as_before_afterwards() -> None:
    network = small().train()
    network.get_parameter("conv1.conv.weight").requires_grad_(False)
    wanted = {name: p.requires_grad for name, p in network.named_parameters()}
    kinds = [type(module) for module in network.modules()]
    with pytest.raises(ZeroDivisionError):
        fail_inside(network)
    assert network.training
    assert {name: p.requires_grad for name, p in network.named_parameters()} == wanted
    assert [type(module) for module in network.modules()] == kinds
