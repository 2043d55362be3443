"""Convolutions with a quarter of the products: Winograd's minimal filtering.

A tile of the output is made of 36 products for each pair of channels: 4×4 pixels with filters of
3×3, in place of 144 products, 2×2 with 5×5, in place of 100.  The map and the filters are
transformed, multiplied as 36 pairs of matrices and transformed back (winograd.cpp).  The gradients
are made in the same way.  Source: Winograd 1980, Arithmetic complexity of computations; Lavin and
Gray 2016, arXiv 1509.09308.

In float32 rounding is two to three times that of a convolution as it is defined.  In bfloat16 what
is multiplied is rounded once more, after the transforms: 1 % of the norm, where the rounding of a
map to bfloat16 is 0.2 %.  That is for gradients alone, far below the noise of a batch.  A value
that is not finite spoils all of its tile.
"""

from __future__ import annotations

import torch
from torch import Tensor

from googlenet.kernels.library import Filters, Tiles, library
from googlenet.kernels.tensor_views import call, is_bf16, new_map, pixel_stride
from googlenet.runtime.first_call import locked_cache

TILE_POINTS = 36
TILE_SIDE = {3: 4, 5: 2}  # pixels of a tile's side, by the filters': six together, but for one
POINTS = (0.5**0.5, 2**0.5)  # with both signs, beside 0 and infinity: as in winograd.h
LANES = 16  # at most, of a vector, as in vectors.h
MIN_TILES = 32  # tiles for which it is faster
MIN_CHANNELS = {3: 16, 5: 24}  # channels, of input and output, for which it is


def supports(x: Tensor, weight: Tensor, training: bool = False) -> bool:
    """Whether this is the faster way for filters of (F, C, side, side) on a map on which the
    kernels can work, (N, C, H, W), and exact enough for what it is for."""
    side = weight.shape[2]
    return (
        side == weight.shape[3]
        and side in TILE_SIDE
        and (
            training and has_bf16_products(weight) if is_bf16(x) else weight.dtype == torch.float32
        )
        and min(weight.shape[:2]) >= MIN_CHANNELS[side]
        and count(x, side) >= MIN_TILES
        and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    )


def has_bf16_products(weight: Tensor) -> bool:
    """Whether products of bfloat16 are made so."""
    kernels = library()
    return even(weight) and kernels is not None and bool(kernels.googlenet_winograd_has_bf16())


def even(weight: Tensor) -> bool:
    """Values of bfloat16 are multiplied in twos."""
    return weight.shape[0] % 2 == weight.shape[1] % 2 == 0


def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The convolution that keeps the map's size: (N, C, H, W), (F, C, side, side) -> (N, F, H,
    W)."""
    return filtered(x, weight, matrix(weight.shape[2]), bias)


def input_gradient(grad: Tensor, weight: Tensor) -> Tensor:
    """From the gradient at the output: (N, F, H, W), (F, C, side, side) -> (N, C, H, W)."""
    return filtered(grad, weight.transpose(0, 1), matrix(weight.shape[2]).flip(1), None)


def filtered(x: Tensor, weight: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    """A map through filters, (F, C, side, side), that a matrix transforms: (N, C, H, W) ->
    (N, F, H, W).

    The transformed filters lie in vectors, (36, F / lanes, C, lanes), as the kernel reads them.
    """
    made, channels, side, _ = weight.shape
    assert not is_bf16(x) or even(weight)
    weight = weight.float()
    how = Filters(side=side, channels=channels, made=made, strides=weight.stride())
    filters = x.new_empty(TILE_POINTS * -(-made // LANES) * LANES * channels)
    call("winograd_filters", how, matrix, weight, filters, is_bf16=is_bf16(x))
    y = new_map(x, made)
    bias = None if bias is None else bias.float().contiguous()
    call("winograd_filter", tiles(x, side), tiles(y, side), x, filters, bias, y, is_bf16=is_bf16(x))
    return y


def weight_gradient(grad: Tensor, x: Tensor, side: int) -> Tensor:
    """From the gradient at the output and the input, in float32: (N, F, H, W), (N, C, H, W) ->
    (F, C, side, side)."""
    filters, channels = grad.shape[1], x.shape[1]
    found = torch.empty(
        (filters, channels, side, side),
        dtype=torch.float32,
        device=x.device,
        memory_format=torch.channels_last,
    )
    assert not is_bf16(x) or even(found)
    both = (tiles(x, side), tiles(grad, side))
    call("winograd_gradient", *both, matrix(side), x, grad, found, is_bf16=is_bf16(x))
    return found


def count(x: Tensor, side: int) -> int:
    """How many tiles a map has, for filters of that side."""
    n, _, height, width = x.shape
    return n * -(-height // TILE_SIDE[side]) * -(-width // TILE_SIDE[side])


def tiles(x: Tensor, side: int) -> Tiles:
    """The kernels' view of a map."""
    _, channels, height, width = x.shape
    return Tiles(
        height=height,
        width=width,
        channels=channels,
        rows=-(-height // TILE_SIDE[side]),
        columns=-(-width // TILE_SIDE[side]),
        count=count(x, side),
        stride=pixel_stride(x),
        side=TILE_SIDE[side],
    )


@locked_cache
def matrix(side: int) -> Tensor:
    """What transforms one dimension of filters, (6, side): the values of a filter's polynomial at
    the points, scaled so that the three transforms together are a convolution."""
    a, b = POINTS
    scales = {0.0: a**2 * b**2, a: 2 * a**2 * (a**2 - b**2), b: 2 * b**2 * (b**2 - a**2)}
    powers = range(side)
    rows = [[at**power / scales[abs(at)] for power in powers] for at in (0.0, a, -a, b, -b)]
    rows.append([float(power == side - 1) for power in powers])
    return torch.tensor(rows, dtype=torch.float32, device="cpu")
