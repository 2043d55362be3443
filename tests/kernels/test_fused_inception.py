"""An Inception module as one function against its branches one by one, in float64."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from googlenet import GoogLeNet
from googlenet.kernels import fused_inception, winograd
from googlenet.kernels.optimize import optimize
from googlenet.models.googlenet import Inception

pytestmark = pytest.mark.usefixtures("kernels")
VARIANTS = ("bn", "paper", "torchvision", "slim")


def module(variant: str, width: float = 0.25) -> Inception:
    """The first module, of 48 channels in and 64 out at this width, all its parameters random."""
    generator = torch.Generator().manual_seed(1)
    network = GoogLeNet(variant, 3, width=width, generator=generator)
    found = network.get_submodule("inception_3a").train()
    assert isinstance(found, Inception)
    for parameter in found.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, 0.5, 0.5, generator=generator)
    return optimize(found)


def photos(n: int = 3, channels: int = 48, side: int = 7) -> Tensor:
    return torch.randn(n, channels, side, side).contiguous(memory_format=torch.channels_last)


def run(inception: Inception, x: Tensor, native: bool = True) -> dict[str, Tensor]:
    """Output, gradients by name, and buffers after a step in training."""
    inception, x = deepcopy(inception), x.clone().requires_grad_()
    assert fused_inception.supports(inception, x) == native
    y = inception(x)
    generator = torch.Generator().manual_seed(2)
    y.backward(torch.randn(y.shape, generator=generator).to(y.dtype))
    found = {name: p.grad for name, p in inception.named_parameters()} | {"y": y, "x": x.grad}
    assert all(value is not None for value in found.values())
    return found | dict(inception.named_buffers())


def distance(mine: Tensor, theirs: Tensor) -> float:
    """Relative to the whole tensor: rounding may move single values across a ReLU's edge."""
    mine, theirs = mine.detach().double(), theirs.detach().double()
    return float((mine - theirs).norm() / (theirs.norm() + 1e-12))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("shape", [(3, 7), (1, 5), (6, 1), (2, 12)])
def test_against_float64(variant: str, shape: tuple[int, int]) -> None:
    n, side = shape
    inception, x = module(variant), photos(n, side=side)
    expected = run(deepcopy(inception).double(), x.double(), native=False)
    for name, value in run(inception, x).items():
        assert distance(value, expected[name]) < 1e-3, name


@pytest.mark.parametrize("variant", VARIANTS)
def test_widths_that_fill_no_vector(variant: str) -> None:
    inception, x = module(variant, width=0.15), photos(channels=29)
    expected = run(deepcopy(inception).double(), x.double(), native=False)
    for name, value in run(inception, x).items():
        assert distance(value, expected[name]) < 1e-3, name


@pytest.mark.parametrize("variant", VARIANTS)
def test_under_autocast(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far from float64 as PyTorch's own operators are in bfloat16, or nearer."""
    inception, x = module(variant), photos(4)
    expected = run(deepcopy(inception).double(), x.double(), native=False)
    with torch.autocast("cpu", torch.bfloat16):
        ours = run(inception, x.bfloat16())
        monkeypatch.setattr(fused_inception, "supports", lambda *_: False)
        theirs = run(inception, x.bfloat16(), native=False)
    for name, value in expected.items():
        assert ours[name].dtype == theirs[name].dtype
        limit = max(1.2 * distance(theirs[name], value), 0.01)
        assert distance(ours[name], value) < limit, name


@pytest.mark.parametrize("variant", VARIANTS)
def test_under_autocast_with_fewer_products(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Winograd's filtering, where gradients are wanted, rounds what it multiplies once more."""
    monkeypatch.setattr(winograd, "has_bf16_products", lambda _: True)
    inception, x = module(variant, width=0.5), photos(8, channels=96, side=14)
    expected = run(deepcopy(inception).double(), x.double(), native=False)
    with torch.autocast("cpu", torch.bfloat16):
        found = run(inception, x.bfloat16())
        with torch.no_grad():
            y = inception(x.bfloat16())
        monkeypatch.setattr(fused_inception, "supports", lambda *_: False)
        theirs = run(inception, x.bfloat16(), native=False)
    for name, value in expected.items():
        limit = max(3 * distance(theirs[name], value), 0.02)
        assert distance(found[name], value) < limit, name
    assert distance(y, expected["y"]) < 1.2 * distance(theirs["y"], expected["y"])


@pytest.mark.parametrize("variant", ["bn", "paper"])
def test_same_bits_again_and_with_more_threads(variant: str, two_threads: None) -> None:
    inception, x = module(variant), photos(4, side=28)
    first, second = run(inception, x), run(inception, x)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("variant", VARIANTS)
def test_without_a_gradient(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for training in (True, False):
        ours, x = module(variant).train(training), photos()
        theirs = deepcopy(ours)
        with torch.no_grad():
            assert fused_inception.supports(ours, x)
            y = ours(x)
            monkeypatch.setattr(fused_inception, "supports", lambda *_: False)
            torch.testing.assert_close(y, theirs(x), atol=1e-5, rtol=1e-5)
            monkeypatch.undo()
        for mine, other in zip(ours.buffers(), theirs.buffers(), strict=True):
            torch.testing.assert_close(mine, other)


def test_only_what_learns_gets_a_gradient() -> None:
    inception, x = module("bn"), photos()
    inception["3x3"].requires_grad_(False)
    inception["1x1"].conv.requires_grad_(False)
    expected = run(module("bn"), x)
    y = inception(x)  # x needs none
    y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(2)))
    assert x.grad is None
    for name, parameter in inception.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None
            torch.testing.assert_close(parameter.grad, expected[name])
        else:
            assert parameter.grad is None


@pytest.mark.parametrize("variant", ["bn", "paper"])
def test_second_derivatives(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inception, x = module(variant), photos().requires_grad_()

    def gradients() -> list[Tensor]:
        (first,) = torch.autograd.grad(inception(x).square().sum(), x, create_graph=True)
        weight = inception["1x1"].conv.weight  # type: ignore[union-attr]
        return [first, *torch.autograd.grad(first.square().sum(), (x, weight))]  # type: ignore[arg-type]

    ours = gradients()
    monkeypatch.setattr(fused_inception, "supports", lambda *_: False)
    for mine, theirs in zip(ours, gradients(), strict=True):
        assert distance(mine, theirs) < 1e-3


def test_what_is_watched_or_changed_goes_branch_by_branch() -> None:
    x = photos()
    for change in (
        lambda m: m["3x3"].relu.register_forward_pre_hook(lambda *_: None),
        lambda m: m["5x5"].register_forward_hook(lambda *_: None),
        lambda m: m["1x1"].bn.eval(),
        lambda m: m["1x1"].conv.double(),
        lambda m: setattr(m["pool_proj"], "relu", nn.LeakyReLU()),
        lambda m: setattr(m["3x3"], "conv", nn.Sequential(m["3x3"].conv)),
        lambda m: setattr(m["3x3"].conv, "dilation", (2, 2)),
        lambda m: nn.utils.parametrizations.weight_norm(m["1x1"].conv),
    ):
        inception = module("bn")
        assert fused_inception.supports(inception, x)
        change(inception)
        assert not fused_inception.supports(inception, x)
    naive = GoogLeNet("naive", 3, width=0.25).get_submodule("inception_3a")
    assert not fused_inception.supports(naive, x)  # type: ignore[arg-type]


def test_a_watched_module_keeps_the_fast_path() -> None:
    inception, x = module("bn"), photos()
    inception.register_forward_hook(lambda *_: None)
    assert fused_inception.supports(inception, x)


def test_an_exported_module_knows_no_kernel() -> None:
    inception = module("bn").eval()
    exported = torch.export.export(inception, (photos(),))
    operators = {str(node.target) for node in exported.graph.nodes}
    assert {"aten.conv2d.default", "aten.max_pool2d.default", "aten.cat.default"} <= operators
