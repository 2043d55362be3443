"""Winograd's filtering against PyTorch's convolution in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from googlenet.kernels import winograd

pytestmark = pytest.mark.usefixtures("kernels")

# images, channels, filters, height, width: tiles that stick out, channels that fill no vector, no
# pair of them, or more than are made at a time; a map of one pixel; several blocks of tiles
SHAPES = [
    (3, 17, 21, 6, 9),
    (2, 16, 30, 15, 14),
    (4, 24, 70, 8, 8),
    (2, 33, 150, 4, 4),
    (1, 16, 16, 1, 1),
    (2, 5, 3, 1, 7),
    (9, 16, 16, 28, 28),
    (5, 40, 18, 21, 30),
]

# What is multiplied is rounded to bfloat16 once more, after the transforms: a few times the 2e-3
# of a rounding; at the usual points 0, ±1, ±2 it would be 2e-2.
BFLOAT16 = 1.6e-2


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def made(shape: tuple[int, ...], side: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A map, filters, their biases and the gradient at the output."""
    n, channels, filters, height, width = shape
    random = torch.Generator().manual_seed(0)
    x = torch.randn(n, channels, height, width, generator=random)
    weight = torch.randn(filters, channels, side, side, generator=random)
    bias = torch.randn(filters, generator=random)
    grad = torch.randn(n, filters, height, width, generator=random)
    return channels_last(x), channels_last(weight), bias, channels_last(grad)


def exact(x: Tensor, weight: Tensor, bias: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
    """The output and the gradients at the map and the filters, in float64."""
    inputs = (x.double().requires_grad_(), weight.double().requires_grad_())
    y = F.conv2d(inputs[0], inputs[1], bias.double(), padding=weight.shape[2] // 2)
    return (y.detach(), *torch.autograd.grad(y, inputs, grad.double()))


def ours(x: Tensor, weight: Tensor, bias: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
    return (
        winograd.forward(x, weight, bias),
        winograd.input_gradient(grad, weight),
        winograd.weight_gradient(grad, x, weight.shape[2]),
    )


def distance(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("side", [3, 5])
def test_against_float64(shape: tuple[int, ...], side: int) -> None:
    given = made(shape, side)
    for found, expected in zip(ours(*given), exact(*given), strict=True):
        assert found.shape == expected.shape
        assert distance(found, expected) < 4e-6


# Not the map of one pixel, of whose 25 taps all but one see nothing but their own rounding.
@pytest.mark.parametrize(
    "shape", [s for s in SHAPES if s[1] % 2 == s[2] % 2 == 0 and s[4] > 1], ids=str
)
@pytest.mark.parametrize("side", [3, 5])
def test_bfloat16_against_float64(shape: tuple[int, ...], side: int) -> None:
    x, weight, bias, grad = made(shape, side)
    given = (x.bfloat16(), weight, bias, grad.bfloat16())
    maps_and_filters = zip(ours(*given), exact(*given), (True, True, False), strict=True)
    for found, expected, is_map in maps_and_filters:
        assert found.dtype == (torch.bfloat16 if is_map else torch.float32)
        assert distance(found, expected) < BFLOAT16


@pytest.mark.parametrize(
    ("channels", "filters", "side"), [(64, 192, 16), (192, 384, 4), (96, 208, 14)]
)
def test_rounding_is_a_few_times_a_convolution_s(channels: int, filters: int, side: int) -> None:
    """At the usual points 0, ±1, ±2 it is five to eight times as large."""
    x, weight, bias, grad = made((8, channels, filters, side, side))
    expected = exact(x, weight, bias, grad)[0]
    plain = distance(F.conv2d(x, weight, bias, padding=1), expected)
    assert distance(winograd.forward(x, weight, bias), expected) < 4 * plain


def test_a_part_of_a_wider_map() -> None:
    """Branches of a module lie side by side in one map."""
    x, weight, bias, _ = made((3, 40, 20, 6, 9))
    part = x[:, 8:32]
    found = winograd.forward(part, weight[:, 8:32], bias)
    assert torch.equal(found, winograd.forward(channels_last(part), weight[:, 8:32], bias))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_same_bits_alone_and_with_any_number_of_threads(dtype: torch.dtype) -> None:
    x, weight, bias, grad = made((9, 16, 30, 28, 26))
    x, grad = x.to(dtype), grad.to(dtype)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = winograd.forward(x[4:5], weight, bias)
        one = ours(x, weight, bias, grad)
        torch.set_num_threads(2)
        two = ours(x, weight, bias, grad)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(one[0][4:5], alone)
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a, b)


def test_whatever_the_default_precision_is() -> None:
    given = made((2, 16, 16, 6, 6))
    expected = ours(*given)
    winograd.matrix.cache_clear()
    torch.set_default_dtype(torch.float64)
    try:
        found = ours(*given)
    finally:
        torch.set_default_dtype(torch.float32)
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


def test_nothing_in_is_nothing_out() -> None:
    x, weight, bias, grad = made((2, 16, 16, 6, 6))
    assert not winograd.weight_gradient(grad, torch.zeros_like(x), 3).any()
    assert torch.equal(
        winograd.forward(torch.zeros_like(x), weight, bias),
        bias[:, None, None].expand(2, 16, 6, 6),
    )


def test_what_is_not_finite_stays_in_its_tile() -> None:
    x, weight, bias, _ = made((1, 16, 16, 12, 12))
    x[0, 3, 5, 5] = float("inf")
    finite = winograd.forward(x, weight, bias).isfinite().all(1)[0]
    assert not finite[5, 5]
    outside = torch.ones(12, 12, dtype=torch.bool)
    outside[4:8, 4:8] = False
    assert finite[outside].all()


@pytest.mark.parametrize(
    ("shape", "side", "fits"),
    [
        ((2, 16, 16, 16, 16), 3, True),
        ((2, 16, 16, 13, 13), 3, True),
        ((1, 16, 16, 16, 16), 3, False),  # few tiles: transforming the filters would not pay
        ((2, 15, 16, 16, 16), 3, False),
        ((2, 16, 15, 16, 16), 3, False),
        ((1, 24, 24, 16, 16), 5, True),
        ((1, 23, 24, 16, 16), 5, False),
        ((2, 24, 24, 16, 16), 7, False),
        ((2, 16, 16, 16, 16), 1, False),
    ],
)
def test_where_it_is_used(
    shape: tuple[int, ...], side: int, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    n, channels, filters, height, width = shape
    x, weight = torch.zeros(n, channels, height, width), torch.zeros(filters, channels, side, side)
    for processor in ("AVX2", "AVX512"):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: processor)  # noqa: B023
        assert winograd.supports(x, weight) == fits
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    assert not winograd.supports(x, weight)


class Kernels:
    """Of a processor whose products of bfloat16 are an instruction, or are not."""

    def __init__(self, is_bf16: bool) -> None:
        self.googlenet_winograd_has_bf16 = lambda: int(is_bf16)


def test_bfloat16_is_for_training_where_its_products_are_an_instruction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    x = torch.zeros(2, 16, 16, 16, dtype=torch.bfloat16)
    weight, odd = torch.zeros(16, 16, 3, 3), torch.zeros(17, 16, 3, 3)
    monkeypatch.setattr(winograd, "library", lambda: Kernels(is_bf16=True))
    assert winograd.supports(x, weight, training=True)
    assert winograd.supports(x, weight.bfloat16(), training=True)
    assert not winograd.supports(x, weight)
    assert not winograd.supports(x, odd, training=True)  # channels are multiplied in twos
    monkeypatch.setattr(winograd, "library", lambda: Kernels(is_bf16=False))
    assert not winograd.supports(x, weight, training=True)
    assert winograd.supports(x.float(), weight, training=True)
