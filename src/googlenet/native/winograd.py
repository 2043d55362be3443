"""Convolutions with a quarter of the products: Winograd's minimal filtering.

A tile of the output is made of 36 products for each pair of channels: 4×4 pixels with filters of
3×3, in place of 144 products, 2×2 with 5×5, in place of 100.  The map and the filters are
transformed, multiplied as 36 pairs of matrices and transformed back (winograd.cpp).  The gradients
are made in the same way.  Source: Winograd 1980, Arithmetic complexity of computations; Lavin and
Gray 2016, arXiv 1509.09308.  Rounding is two to three times that of a convolution as it is defined;
a value that is not finite spoils all of its tile.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from googlenet.native.build import Tiles
from googlenet.native.maps import call, new_map, pixel_stride

PLACES = 36
TILES = {3: 4, 5: 2}  # pixels of a tile's side, by the filters': six together, but for one
POINTS = (0.5**0.5, 2**0.5)  # with both signs, beside 0 and infinity: as in winograd.cpp
PANEL = 16  # filters side by side, as in winograd.cpp
AT_ONCE = 128  # tiles for each thread: few enough for the cache, enough for a product of matrices
FEWEST = 32  # tiles for which it is faster
NARROWEST = {3: 16, 5: 24}  # channels, of input and output, for which it is
SPARE = 16  # values between planes, without which they all fall into the same places of the cache


def fits(x: Tensor, weight: Tensor) -> bool:
    """Whether this is the faster way for filters of (F, C, side, side) on a map on which the
    kernels can work, (N, C, H, W)."""
    side = weight.shape[2]
    return (
        side == weight.shape[3]
        and side in TILES
        and x.dtype == weight.dtype == torch.float32
        and min(weight.shape[:2]) >= NARROWEST[side]
        and count(x, side) >= FEWEST
        and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    )


def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The convolution that keeps the map's size: (N, C, H, W), (F, C, side, side) -> (N, F, H,
    W)."""
    return filtered(x, weight.permute(2, 3, 1, 0), matrix(weight.shape[2]), bias)


def input_gradient(grad: Tensor, weight: Tensor) -> Tensor:
    """From the gradient at the output: (N, F, H, W), (F, C, side, side) -> (N, C, H, W)."""
    return filtered(grad, weight.permute(2, 3, 0, 1), matrix(weight.shape[2]).flip(1), None)


def filtered(x: Tensor, filters: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    """A map through filters, (side, side, C, F), that a matrix transforms: (N, C, H, W) ->
    (N, F, H, W).

    The transformed filters lie in panels, (36, panels, C, 16), as the kernel reads them.
    """
    side, _, channels, made = filters.shape
    padded = F.pad(filters, (0, -made % PANEL)).reshape(side * side, channels, -1, PANEL)
    transformed = matrix @ padded.transpose(1, 2).reshape(side * side, -1)
    y = new_map(x, made)
    all_of = (tiles(x, side), tiles(y, side))
    call("winograd_filter", *all_of, x, transformed, bias, y, half=False)
    return y


def weight_gradient(grad: Tensor, x: Tensor, side: int) -> Tensor:
    """From the gradient at the output and the input: (N, F, H, W), (N, C, H, W) -> (F, C, side,
    side)."""
    filters, channels = grad.shape[1], x.shape[1]
    found = x.new_zeros(PLACES, filters, channels)
    total, at_once = count(x, side), AT_ONCE * torch.get_num_threads()
    for first in range(0, total, at_once):
        some = range(first, min(total, first + at_once))
        answers = transformed("answer", grad, side, some)
        found.baddbmm_(answers.transpose(1, 2), transformed("input", x, side, some))
    back = (matrix(side).T @ found.view(PLACES, -1)).view(side, side, filters, channels)
    return back.permute(2, 3, 0, 1).contiguous(memory_format=torch.channels_last)


def transformed(kind: str, x: Tensor, side: int, some: range) -> Tensor:
    """Some of a map's tiles: (N, C, H, W) -> (36, tiles, C)."""
    channels = x.shape[1]
    plane = len(some) * channels + SPARE
    planes = x.new_empty(PLACES * plane).as_strided(
        (PLACES, len(some), channels), (plane, channels, 1)
    )
    call(f"winograd_{kind}", tiles(x, side, some, plane), x, planes, half=False)
    return planes


def count(x: Tensor, side: int) -> int:
    """How many tiles a map has, for filters of that side."""
    n, _, height, width = x.shape
    return n * -(-height // TILES[side]) * -(-width // TILES[side])


def tiles(x: Tensor, side: int, some: range | None = None, plane: int = 0) -> Tiles:
    """The kernels' view of some tiles of a map, or all."""
    _, channels, height, width = x.shape
    some = range(count(x, side)) if some is None else some
    return Tiles(
        height=height,
        width=width,
        channels=channels,
        rows=-(-height // TILES[side]),
        columns=-(-width // TILES[side]),
        first=some.start,
        count=len(some),
        stride=pixel_stride(x),
        plane=plane,
        side=TILES[side],
    )


@cache
def matrix(side: int) -> Tensor:
    """What transforms filters, (36, side²): the values of a filter's polynomial at the points,
    twice, scaled so that the three transforms together are a convolution."""
    a, b = POINTS
    scales = {0.0: a**2 * b**2, a: 2 * a**2 * (a**2 - b**2), b: 2 * b**2 * (b**2 - a**2)}
    powers = range(side)
    rows = [[at**power / scales[abs(at)] for power in powers] for at in (0.0, a, -a, b, -b)]
    rows.append([float(power == side - 1) for power in powers])
    once = torch.tensor(rows, dtype=torch.float64, device="cpu")
    return torch.kron(once, once).float()
