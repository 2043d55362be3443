"""Convolutions of 3×3 with a quarter of the products: Winograd's minimal filtering F(4×4, 3×3).

A tile of 4×4 pixels of the output, 144 products for each pair of channels, is made of 36: the map
and the filters are transformed (winograd.cpp), multiplied as 36 pairs of matrices, and transformed
back.  The gradients are made in the same way.  Source: Winograd 1980, Arithmetic complexity of
computations; Lavin and Gray 2016, arXiv 1509.09308.  Rounding is two to three times that of a
convolution as it is defined; a value that is not finite spoils all of its tile.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from googlenet.native.build import Tiles
from googlenet.native.maps import call, new_map, pixel_stride

TILE, PLACES = 4, 36
POINTS = (0.5**0.5, 2**0.5)  # with both signs, beside 0 and infinity: as in winograd.cpp
PANEL = 16  # filters side by side, as in winograd.cpp
AT_ONCE = 128  # tiles for each thread: few enough for the cache, enough for a product of matrices
FEWEST = 32  # tiles for which it is faster
NARROWEST = 16  # channels, of input and output
SPARE = 16  # values between planes, without which they all fall into the same places of the cache


def fits(x: Tensor, weight: Tensor) -> bool:
    """Whether this is the faster way for filters of (F, C, 3, 3) on a map on which the kernels
    can work, (N, C, H, W)."""
    return (
        weight.shape[2:] == (3, 3)
        and x.dtype == weight.dtype == torch.float32
        and min(weight.shape[:2]) >= NARROWEST
        and places(x) >= FEWEST
        and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    )


def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The convolution that keeps the map's size: (N, C, H, W), (F, C, 3, 3) -> (N, F, H, W)."""
    return filtered(x, weight.permute(2, 3, 1, 0), matrix(), bias)


def input_gradient(grad: Tensor, weight: Tensor) -> Tensor:
    """From the gradient at the output: (N, F, H, W), (F, C, 3, 3) -> (N, C, H, W)."""
    return filtered(grad, weight.permute(2, 3, 0, 1), matrix().flip(1), None)


def filtered(x: Tensor, filters: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    """A map through filters, (3, 3, C, F), that a matrix transforms: (N, C, H, W) -> (N, F, H, W).

    The transformed filters lie in panels, (36, panels, C, 16), as the kernel reads them.
    """
    channels, made = filters.shape[2:]
    padded = F.pad(filters, (0, -made % PANEL)).reshape(9, channels, -1, PANEL)
    transformed = matrix @ padded.transpose(1, 2).reshape(9, -1)
    y = new_map(x, made)
    count = places(x)
    call("winograd_filter", tiles(x, count), tiles(y, count), x, transformed, bias, y, half=False)
    return y


def weight_gradient(grad: Tensor, x: Tensor) -> Tensor:
    """From the gradient at the output and the input: (N, F, H, W), (N, C, H, W) -> (F, C, 3, 3)."""
    filters, channels = grad.shape[1], x.shape[1]
    found = x.new_zeros(PLACES, filters, channels)
    total, at_once = places(x), AT_ONCE * torch.get_num_threads()
    for first in range(0, total, at_once):
        count = min(at_once, total - first)
        answers, seen = planes(count, filters), planes(count, channels)
        for kind, source, to in (("answer", grad, answers), ("input", x, seen)):
            part = tiles(source, count, first, to.stride(0))
            call(f"winograd_{kind}", part, source, to, half=False)
        found.baddbmm_(answers.transpose(1, 2), seen)
    back = (matrix().T @ found.view(PLACES, -1)).view(3, 3, filters, channels)
    return back.permute(2, 3, 0, 1).contiguous(memory_format=torch.channels_last)


def planes(count: int, channels: int) -> Tensor:
    """Room for transformed tiles: (36, count, channels)."""
    stride = count * channels + SPARE
    room = torch.empty(PLACES * stride)
    return room.as_strided((PLACES, count, channels), (stride, channels, 1))


def places(x: Tensor) -> int:
    """How many tiles a map has."""
    n, _, height, width = x.shape
    return n * -(-height // TILE) * -(-width // TILE)


def tiles(x: Tensor, count: int, first: int = 0, plane: int = 0) -> Tiles:
    """The kernels' view of some tiles of a map."""
    _, channels, height, width = x.shape
    return Tiles(
        height=height,
        width=width,
        channels=channels,
        rows=-(-height // TILE),
        columns=-(-width // TILE),
        first=first,
        count=count,
        stride=pixel_stride(x),
        plane=plane,
    )


@cache
def matrix() -> Tensor:
    """What transforms filters, (36, 9): twice the filter's polynomial at the points, scaled so
    that the three transforms together are a convolution."""
    a, b = POINTS
    scales = {0.0: a**2 * b**2, a: 2 * a**2 * (a**2 - b**2), b: 2 * b**2 * (b**2 - a**2)}
    rows = [
        [point**power / scales[abs(point)] for power in range(3)] for point in (0.0, a, -a, b, -b)
    ]
    once = torch.tensor([*rows, [0.0, 0.0, 1.0]], dtype=torch.float64)
    return torch.kron(once, once).float()
