"""Optimized networks against those that they were made from."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from googlenet.kernels.optimize import (
    REPLACEMENTS,
    MergedInception,
    optimize,
    optimize_for_inference,
    restore,
)
from googlenet.models.cost import NAMES
from googlenet.models.googlenet import GoogLeNet
from googlenet.models.registry import Network, build_network, default_channels
from googlenet.runtime.errors import UsageError

SIZES = {"alexnet": 227, "lenet5": 32}


def network(name: str, width: float = 0.125) -> tuple[Network, Tensor]:
    """A network all of whose numbers matter, and images for it."""
    size, generator = SIZES.get(name, 64), torch.Generator().manual_seed(1)
    width = 1.0 if name == "lenet5" else width
    found = build_network(
        name, 5, size=size, in_channels=default_channels(name), width=width, generator=generator
    )
    for layer in found.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.weight, layer.running_var):
                if values is not None:
                    nn.init.uniform_(values, 0.7, 1.3)
            for values in (layer.bias, layer.running_mean):
                assert values is not None
                nn.init.uniform_(values, -0.3, 0.3)
    x = torch.randn(2, default_channels(name), size, size, generator=generator)
    return found.eval(), x


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_same_logits_in_float32(name: str) -> None:
    net, x = network(name)
    expected = deepcopy(net).double()(x.double())
    logits = optimize_for_inference(net, precision="fp32")(x)
    assert logits.dtype == torch.float32
    scale = float(expected.abs().max())
    torch.testing.assert_close(logits.double(), expected, atol=2e-5 * scale, rtol=1e-4)


@pytest.mark.parametrize("name", ["bn", "paper", "torchvision", "naive"])
@torch.no_grad()
def test_same_logits_in_bfloat16(name: str) -> None:
    """As near to the exact ones as autocast is, or nearer, with a margin for chance."""
    net, x = network(name)
    expected = deepcopy(net).double()(x.double())
    with torch.autocast("cpu", torch.bfloat16):
        autocast = net(x)
    logits = optimize_for_inference(net, precision="bf16")(x)
    assert logits.dtype == torch.float32
    allowed = 2 * (autocast.double() - expected).norm() + 0.01 * expected.norm()
    assert (logits.double() - expected).norm() < allowed


@pytest.mark.parametrize("name", ["bn", "paper"])
@torch.no_grad()
def test_same_logits_without_kernels(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = network(name)
    form = optimize_for_inference(net, precision="fp32")
    before = form(x)
    monkeypatch.setattr("googlenet.kernels.optimize.usable", lambda _x: False)
    torch.testing.assert_close(form(x), before, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_network_itself_is_left_alone() -> None:
    net = network("bn")[0]
    net.train()
    state, before = deepcopy(net.state_dict()), len(list(net.modules()))
    form = optimize_for_inference(net, precision="fp32")
    assert net.training
    assert net.aux_heads == ("4a", "4d")
    assert len(list(net.modules())) == before
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in state.items())
    assert not any(p.requires_grad for p in form.parameters())
    assert not [m for m in form.modules() if isinstance(m, nn.BatchNorm2d)]
    assert sum(isinstance(m, MergedInception) for m in form.modules()) == 9
    assert not form.training


def test_a_precision_that_does_not_exist() -> None:
    with pytest.raises(UsageError, match="precision"):
        optimize_for_inference(network("bn")[0], precision="int3")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # PyTorch's own
@torch.no_grad()
def test_compiled() -> None:
    net, x = network("bn")
    expected = optimize_for_inference(net, precision="fp32")(x)
    compiled = optimize_for_inference(net, precision="fp32", compiled=True)
    torch.testing.assert_close(compiled(x), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["bn", "paper", "google2014"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@torch.no_grad()
def test_what_unknown_scores_need(name: str, precision: str) -> None:
    """The summary of the middle feature maps, and the logits from the last one."""
    net, x = network(name)
    assert isinstance(net, GoogLeNet)
    expected_map, expected = net.features_and_summary(x)
    fast = optimize_for_inference(net, precision=precision)
    features, summary = fast.features_and_summary(x)
    assert summary.dtype == torch.float32
    tolerance = 1e-4 if precision == "fp32" else 0.1
    assert (summary - expected).norm() < tolerance * expected.norm()
    assert (features - expected_map).norm() < tolerance * expected_map.norm()
    logits = fast.classify(features)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, fast(x))


def kinds(net: nn.Module) -> set[type[nn.Module]]:
    return {type(module) for module in net.modules()}


@pytest.mark.parametrize("name", NAMES)
def test_a_network_in_training_keeps_its_names_and_is_restored(name: str) -> None:
    net, _ = network(name)
    net.train()
    before = kinds(net)
    state, parameters = net.state_dict(), [id(p) for p in net.parameters()]
    assert optimize(net) is net
    assert not kinds(net) & set(REPLACEMENTS)
    assert kinds(deepcopy(net)) == kinds(net)
    assert net.training
    assert [id(p) for p in net.parameters()] == parameters
    assert list(net.state_dict()) == list(state)
    assert kinds(optimize(net)) == kinds(net)  # again changes nothing
    assert kinds(restore(net)) == before


@pytest.mark.parametrize("name", ["bn", "paper", "google2014"])
def test_taps_and_hooks_see_what_they_see_without(name: str) -> None:
    net, x = network(name, width=0.25)
    assert isinstance(net, GoogLeNet)
    names = ("conv1:pre", "inception_3a.5x5:pre", "inception_4a.3x3_reduce", "inception_5b")
    found = []
    for each in (net, optimize(deepcopy(net))):
        with each.tap(*names) as activations, torch.no_grad():
            each(x.contiguous(memory_format=torch.channels_last))
        found.append(dict(activations))
    for tap in names:
        torch.testing.assert_close(found[1][tap], found[0][tap], atol=1e-4, rtol=1e-4)


def test_a_step_without_kernels(no_kernels: None) -> None:
    net = optimize(GoogLeNet("bn", 3, width=0.125))
    net(torch.randn(2, 3, 64, 64)).sum().backward()


@torch.no_grad()
def test_under_torch_func_the_plain_network_works() -> None:
    net, x = network("bn")
    mapped = torch.vmap(lambda image: net(image[None])[0])(x)
    torch.testing.assert_close(mapped, net(x), atol=1e-4, rtol=1e-4)
