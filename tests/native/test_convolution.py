"""The gradient at filters as a matrix product against PyTorch's convolution in float64."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from googlenet.model import ConvUnit, GoogLeNet
from googlenet.native import convolution as ours
from googlenet.native.convolution import convolution

pytestmark = pytest.mark.usefixtures("kernels")
OWN = "ConvolutionBackward"


@pytest.fixture(autouse=True)
def avx2(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor with AVX2 and no more, where products are faster."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")


def layer(side: int, bias: bool = True, inputs: int = 5) -> nn.Conv2d:
    torch.manual_seed(0)
    found = nn.Conv2d(inputs, 7, side, padding=side // 2, bias=bias)
    return found.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def photos(n: int = 3, height: int = 6, width: int = 9, channels: int = 5) -> Tensor:
    x = torch.randn(n, channels, height, width, generator=torch.Generator().manual_seed(1))
    return x.contiguous(memory_format=torch.channels_last).requires_grad_()


def gradients(y: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    answer = torch.randn(y.shape, generator=torch.Generator().manual_seed(2)).to(y.dtype)
    return torch.autograd.grad(y, inputs, answer)


def own(y: Tensor) -> bool:
    assert y.grad_fn is not None
    return y.grad_fn.name() == OWN


@pytest.mark.parametrize("side", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3, 6, 9), (1, 1, 1), (2, 1, 5), (4, 8, 8)])
@pytest.mark.parametrize("at_once", [ours.AT_ONCE, 1000])
def test_against_float64(
    side: int,
    bias: bool,
    shape: tuple[int, int, int],
    at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With all photos laid out at a time, and with one or two."""
    monkeypatch.setattr(ours, "AT_ONCE", at_once)
    conv, x = layer(side, bias), photos(*shape)
    y = convolution(conv, x)
    assert own(y)
    exact, double = deepcopy(conv).double(), x.detach().double().requires_grad_()
    expected = exact(double)
    torch.testing.assert_close(y.double(), expected, atol=1e-5, rtol=1e-5)
    found = gradients(y, x, *conv.parameters())
    for mine, theirs in zip(found, gradients(expected, double, *exact.parameters()), strict=True):
        assert mine.shape == theirs.shape
        torch.testing.assert_close(mine.double(), theirs, atol=1e-4, rtol=1e-5)


def test_the_last_few_photos() -> None:
    """A number of photos that does not divide into as many as are laid out at a time."""
    conv, x = layer(3), photos(5)
    (whole,) = gradients(convolution(conv, x), conv.weight)
    answer = torch.randn(5, 7, 6, 9, generator=torch.Generator().manual_seed(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ours, "AT_ONCE", 2 * 6 * 9 * 9 * 5)
        apart = ours.weight_gradient(
            answer.contiguous(memory_format=torch.channels_last), x.detach(), 3
        )
    torch.testing.assert_close(apart, whole, atol=1e-4, rtol=1e-5)


def test_only_what_learns_gets_a_gradient() -> None:
    conv, x = layer(3), photos()
    assert conv.bias is not None
    expected = gradients(conv(x), conv.weight)
    conv.bias.requires_grad_(False)
    y = convolution(conv, x.detach())
    assert own(y)
    torch.testing.assert_close(gradients(y, conv.weight), expected, atol=1e-4, rtol=1e-5)
    conv.weight.requires_grad_(False)
    assert not own(convolution(conv, x))


def test_second_derivatives() -> None:
    conv, x = layer(3), photos()

    def second(y: Tensor) -> tuple[Tensor, ...]:
        (first,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        return torch.autograd.grad(first.square().sum(), (x, conv.weight))

    mine, theirs = second(convolution(conv, x)), second(conv(x))
    torch.testing.assert_close(mine, theirs, atol=1e-2, rtol=1e-4)


def test_what_is_left_to_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other windows, a watched layer, no gradient, bfloat16, and processors with wider vectors."""
    x = photos()
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
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert not own(convolution(layer(3), x))


def test_the_whole_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of `bn` and of `paper`, with every gradient, as without products."""
    for variant in ("bn", "paper"):
        network = GoogLeNet(variant, 3, width=0.25, generator=torch.Generator().manual_seed(0))
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
            patch.setattr(ours, "by_products", lambda *_: False)
            expected = step()
        assert len(found) == len(expected) == len(list(network.parameters()))
        for mine, theirs in zip(found, expected, strict=True):
            assert (mine - theirs).norm() < 0.02 * theirs.norm() + 1e-6


def test_units_use_it() -> None:
    unit = GoogLeNet("paper", 3, width=0.25).conv2
    assert isinstance(unit, ConvUnit)
    y = unit.conv(photos(2, 5, 5, 16))
    assert not own(y)
    activated = unit(photos(2, 5, 5, 16))
    nodes, seen = [activated.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is not None:
            seen.add(node.name())
            nodes += [before for before, _ in node.next_functions]
    assert OWN in seen
