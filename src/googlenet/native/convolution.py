"""Convolutions whose gradient at the filters is a matrix product.

With AVX2 and no more oneDNN computes this gradient at about half of the speed of the forward pass,
and MKL multiplies matrices at that of the forward pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from googlenet.native.maps import channels_last, derivable, hooked, usable

SIDES = (1, 3)  # of the windows for which products were faster; at 5×5 they are not
AT_ONCE = 1 << 22  # values laid out at a time: 16 MiB


def convolution(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """`layer(x)`: (N, C, H, W) -> (N, F, H', W'); its gradients differ by rounding alone."""
    weight = layer.weight
    if not (torch.is_grad_enabled() and weight.requires_grad and usable(x)):
        return layer(x)  # type: ignore[no-any-return]
    if not (ordinary(layer, x) and by_products(x, weight)) or hooked(layer):
        return layer(x)  # type: ignore[no-any-return]
    return Convolution.apply(x, weight, layer.bias)  # type: ignore[no-any-return, no-untyped-call]


def ordinary(layer: Any, x: Tensor) -> bool:
    """Whether a layer is a plain convolution that keeps the map's size and its precision."""
    if type(layer) is not nn.Conv2d or layer.weight.dtype != torch.float32:
        return False
    autocast = torch.is_autocast_enabled("cpu")
    computed = torch.get_autocast_dtype("cpu") if autocast else torch.float32
    return (
        x.dtype == computed
        and layer.padding == tuple(side // 2 for side in layer.kernel_size)
        and layer.stride == layer.dilation == (1, 1)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
    )


def by_products(x: Tensor, weight: Tensor) -> bool:
    """Whether the gradient at filters like these is computed faster by products."""
    plain = torch.backends.cpu.get_cpu_capability() == "AVX2"
    return plain and x.dtype == torch.float32 and weight.shape[2] == weight.shape[3] in SIDES


class Convolution(torch.autograd.Function):
    """A convolution that keeps the map's size, with `backward` as its derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight, bias)
        return same_size(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias = ctx.saved_tensors
        if torch.is_grad_enabled():
            return derivable(same_size, [x, weight, bias], grad)
        return tuple(backward(channels_last(grad), x, weight, ctx.needs_input_grad))


def same_size(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.conv2d(x, weight, bias, padding=weight.shape[2] // 2)


def backward(grad: Tensor, x: Tensor, weight: Tensor, wanted: tuple[bool, bool, bool]) -> list[Any]:
    """The gradients at a convolution's input (channels-last), weight and bias, where `wanted`."""
    products = wanted[1] and by_products(x, weight)
    # oneDNN computes the weight's gradient with the bias's, wanted or not.
    left = (wanted[0], False, False) if products else wanted
    found: list[Any] = [None] * 3
    if any(left):
        side = weight.shape[2] // 2
        found = list(
            torch.ops.aten.convolution_backward(
                grad, x, weight, [weight.shape[0]] if left[2] else None, [1, 1], [side, side],
                [1, 1], False, [0, 0], 1, list(left),
            )
        )  # fmt: skip
    if found[0] is not None:
        found[0] = found[0].contiguous(memory_format=torch.channels_last)
    if products:
        found[1] = weight_gradient(grad, x, weight.shape[2])
        found[2] = pixels(grad).sum(0) if wanted[2] else None
    return found


def weight_gradient(grad: Tensor, x: Tensor, side: int) -> Tensor:
    """From the gradient at the output, (N, F, H, W), and the input, (N, C, H, W): (F, C, side,
    side).

    What a window sees is laid out as a row, a few photos at a time, and multiplied with what the
    output of that window answers for.
    """
    n, c, h, w = x.shape
    filters = grad.shape[1]
    if side == 1:
        return (pixels(grad).T @ pixels(x))[:, :, None, None]
    edge = side // 2
    width = w + 2 * edge
    padded = x.new_zeros(n, h + 2 * edge, width, c)
    padded[:, edge:-edge, edge:-edge] = x.permute(0, 2, 3, 1)
    # A window's rows each lie in one piece: its pixels side by side, each with its channels.
    windows = padded.as_strided(
        (n, h, w, side, side * c), (padded.stride(0), width * c, c, width * c, 1)
    )
    answers = pixels(grad).view(n, h * w, filters)
    found = x.new_zeros(filters, side * side * c)
    photos = max(1, AT_ONCE // (h * w * side * side * c))
    for at in range(0, n, photos):
        some = slice(at, at + photos)
        rows = windows[some].reshape(-1, side * side * c)
        found.addmm_(answers[some].reshape(-1, filters).T, rows)
    return found.view(filters, side, side, c).permute(0, 3, 1, 2)


def pixels(x: Tensor) -> Tensor:
    """A channels-last map as a row a pixel: (N, C, H, W) -> (N·H·W, C)."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
