"""The form for inference against the network that it was made of."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from googlenet.kernels.inference import MergedInception, inference_form
from googlenet.models.cost import NAMES
from googlenet.models.registry import Network, build_network, default_channels
from googlenet.runtime.errors import UsageError

SIZES = {"alexnet": 227, "lenet5": 32}


def network(name: str, width: float = 0.125) -> tuple[Network, Tensor]:
    """A network all of whose numbers matter, and photos for it."""
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
    logits = inference_form(net, precision="fp32")(x)
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
    logits = inference_form(net, precision="bf16")(x)
    assert logits.dtype == torch.float32
    allowed = 2 * (autocast.double() - expected).norm() + 0.01 * expected.norm()
    assert (logits.double() - expected).norm() < allowed


@pytest.mark.parametrize("name", ["bn", "paper"])
@torch.no_grad()
def test_same_logits_without_kernels(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = network(name)
    form = inference_form(net, precision="fp32")
    before = form(x)
    monkeypatch.setattr("googlenet.kernels.inference.usable", lambda _x: False)
    torch.testing.assert_close(form(x), before, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_network_itself_is_left_alone() -> None:
    net = network("bn")[0]
    net.train()
    state, before = deepcopy(net.state_dict()), len(list(net.modules()))
    form = inference_form(net, precision="fp32")
    assert net.training
    assert net.heads == ("4a", "4d")
    assert len(list(net.modules())) == before
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in state.items())
    assert not any(p.requires_grad for p in form.parameters())
    assert not [m for m in form.modules() if isinstance(m, nn.BatchNorm2d)]
    assert sum(isinstance(m, MergedInception) for m in form.modules()) == 9
    assert not form.training


def test_a_precision_that_does_not_exist() -> None:
    with pytest.raises(UsageError, match="precision"):
        inference_form(network("bn")[0], precision="int3")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # PyTorch's own
@torch.no_grad()
def test_compiled() -> None:
    net, x = network("bn")
    expected = inference_form(net, precision="fp32")(x)
    compiled = inference_form(net, precision="fp32", compiled=True)
    torch.testing.assert_close(compiled(x), expected, atol=1e-4, rtol=1e-4)
