"""Convolutions in the fastest way there is against PyTorch's in float64."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from googlenet.kernels import convolution as ours
from googlenet.kernels import winograd
from googlenet.kernels.convolution import convolution
from googlenet.kernels.optimize import optimize
from googlenet.models.googlenet import ConvUnit, GoogLeNet

pytestmark = pytest.mark.usefixtures("kernels")
OWN = "ConvolutionBackward"


@pytest.fixture(autouse=True)
def avx2(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor with AVX2 and no more."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")


def layer(side: int, bias: bool = True, inputs: int = 16) -> nn.Conv2d:
    torch.manual_seed(0)
    found = nn.Conv2d(inputs, 18, side, padding=side // 2, bias=bias)
    return found.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def photos(n: int = 6, height: int = 6, width: int = 9, channels: int = 16) -> Tensor:
    x = torch.randn(n, channels, height, width, generator=torch.Generator().manual_seed(1))
    return x.contiguous(memory_format=torch.channels_last).requires_grad_()


def gradients(y: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    answer = torch.randn(y.shape, generator=torch.Generator().manual_seed(2)).to(y.dtype)
    return torch.autograd.grad(y, inputs, answer)


def own(y: Tensor) -> bool:
    assert y.grad_fn is not None
    return y.grad_fn.name() == OWN


@pytest.mark.parametrize("side", [1, 3, 5])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(6, 6, 9), (1, 1, 1), (2, 1, 5), (8, 8, 8)])
def test_against_float64(side: int, bias: bool, shape: tuple[int, int, int]) -> None:
    """Of these 3×3 is Winograd's in the first and last shape, whose tiles are many enough."""
    conv, x = layer(side, bias), photos(*shape)
    y = convolution(conv, x)
    assert own(y) == (side == 1 or (side == 3 and shape[0] > 2))
    exact, double = deepcopy(conv).double(), x.detach().double().requires_grad_()
    expected = exact(double)
    torch.testing.assert_close(y.double(), expected, atol=1e-5, rtol=1e-5)
    found = gradients(y, x, *conv.parameters())
    for mine, theirs in zip(found, gradients(expected, double, *exact.parameters()), strict=True):
        assert mine.shape == theirs.shape
        torch.testing.assert_close(mine.double(), theirs, atol=1e-4, rtol=1e-5)
    with torch.no_grad():
        assert torch.equal(convolution(conv, x), y)


@pytest.mark.parametrize("side", [1, 3])
def test_only_what_learns_gets_a_gradient(side: int) -> None:
    conv, x = layer(side), photos()
    assert conv.bias is not None
    expected = gradients(conv(x), conv.weight, conv.bias, x)
    everything = gradients(convolution(conv, x), conv.weight, conv.bias, x)
    torch.testing.assert_close(everything, expected, atol=1e-4, rtol=1e-5)
    learning = {"weight": conv.weight, "bias": conv.bias, "map": x}
    for name, wanted in zip(learning, expected, strict=True):
        for other, tensor in learning.items():
            tensor.requires_grad_(other == name)
        (found,) = gradients(convolution(conv, x), learning[name])
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-5)


def test_second_derivatives() -> None:
    conv, x = layer(3), photos()

    def second(y: Tensor) -> tuple[Tensor, ...]:
        (first,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        return torch.autograd.grad(first.square().sum(), (x, conv.weight))

    mine, theirs = second(convolution(conv, x)), second(conv(x))
    torch.testing.assert_close(mine, theirs, atol=1e-2, rtol=1e-4)


def test_what_is_left_to_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other windows, a watched layer, no gradient, bfloat16 without an instruction for it, and
    1×1 with wider vectors."""
    monkeypatch.setattr(winograd, "has_bf16_products", lambda _: False)
    x = photos()
    assert own(convolution(layer(1), x))
    assert own(convolution(layer(3), x))
    assert not own(convolution(layer(5), x))
    watched = layer(3)
    watched.register_forward_hook(lambda *_: None)
    assert not own(convolution(watched, x))
    with torch.no_grad():
        assert convolution(layer(3), x).grad_fn is None
    with torch.autocast("cpu", torch.bfloat16):
        assert not own(convolution(layer(3), x.detach().bfloat16()))
        assert not own(convolution(layer(3), x))
    frozen = layer(1).requires_grad_(False)
    assert not own(convolution(frozen, x))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert not own(convolution(layer(1), x))
    assert own(convolution(layer(3), x))


def test_bfloat16_where_gradients_are_wanted_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "has_bf16_products", lambda _: True)
    x = photos().detach().bfloat16()
    frozen = layer(3, bias=False).requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16):
        y = convolution(layer(3, bias=False), x)
        assert own(y)
        with torch.no_grad():
            plain = convolution(layer(3, bias=False), x)
        assert torch.equal(convolution(frozen, x), plain)
    expected = F.conv2d(x, layer(3, bias=False).weight.bfloat16(), padding=1)
    assert torch.equal(plain, expected)
    assert y.dtype == plain.dtype == torch.bfloat16
    assert (y - plain).float().norm() < 0.02 * plain.float().norm()


def test_weights_elsewhere_are_left_to_pytorch() -> None:
    elsewhere = layer(3).to("meta")
    assert not ours.is_plain_conv(elsewhere, photos())


def test_the_whole_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of `bn` and of `paper`, with every gradient, as by oneDNN alone."""
    for variant in ("bn", "paper"):
        network = optimize(
            GoogLeNet(variant, 3, width=0.25, generator=torch.Generator().manual_seed(0))
        )
        for part in network.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0
        x = photos(4, 64, 64, 3).detach()

        def step() -> list[Tensor]:
            network.zero_grad()  # noqa: B023
            logits = network.forward_heads(x)  # noqa: B023
            torch.stack([out.square().sum() for out in logits.values()]).sum().backward()  # type: ignore[no-untyped-call]
            return [p.grad.clone() for p in network.parameters() if p.grad is not None]  # noqa: B023

        found = step()
        with monkeypatch.context() as patch:
            patch.setattr(ours, "as_matmul", lambda *_: False)
            patch.setattr(winograd, "supports", lambda *_, **__: False)
            expected = step()
        assert len(found) == len(expected) == len(list(network.parameters()))
        for mine, theirs in zip(found, expected, strict=True):
            assert (mine - theirs).norm() < 0.02 * theirs.norm() + 1e-6


def test_units_use_it() -> None:
    unit = optimize(GoogLeNet("paper", 3, width=0.25)).conv2
    assert isinstance(unit, ConvUnit)
    y = unit.conv(photos(16, 5, 5, 16))
    assert not own(y)
    activated = unit(photos(16, 5, 5, 16))
    nodes, seen = [activated.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is not None:
            seen.add(node.name())
            nodes += [before for before, _ in node.next_functions]
    assert OWN in seen
