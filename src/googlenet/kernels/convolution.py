"""Convolutions that keep a map's size, each direction in the fastest way there is.

3×3 and 5×5: Winograd's filtering (winograd.py).  1×1: the gradient at the filters is a matrix
product where oneDNN has AVX2 and no more; it computes this at half of the speed of the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from googlenet.kernels import winograd
from googlenet.kernels.tensor_views import channels_last, double_backward, has_hooks, usable


def convolution(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """`layer(x)`: (N, C, H, W) -> (N, F, H', W'); it differs by rounding alone."""
    weight, bias = layer.weight, layer.bias
    if not (usable(x) and is_plain_conv(layer, x)) or has_hooks(layer):
        return layer(x)  # type: ignore[no-any-return]
    if not needs_gradient((x, weight, bias)):
        return forward(x, weight, bias)
    if winograd.supports(x, weight, training=True) or (
        weight.requires_grad and as_matmul(x, weight)
    ):
        return Convolution.apply(x, weight, bias)  # type: ignore[no-any-return, no-untyped-call]
    return layer(x)  # type: ignore[no-any-return]


def is_plain_conv(layer: Any, x: Tensor) -> bool:
    """Whether a layer is a plain convolution in memory that keeps the map's size and precision."""
    if type(layer) is not nn.Conv2d or layer.weight.dtype != torch.float32:
        return False
    autocast = torch.is_autocast_enabled("cpu")
    computed = torch.get_autocast_dtype("cpu") if autocast else torch.float32
    return (
        x.dtype == computed
        and layer.weight.device == x.device
        and layer.padding == tuple(side // 2 for side in layer.kernel_size)
        and layer.stride == layer.dilation == (1, 1)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
    )


def needs_gradient(inputs: Iterable[Tensor | None]) -> bool:
    """Whether a gradient may be asked for at any of them."""
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs)


def as_matmul(x: Tensor, weight: Tensor) -> bool:
    """Whether the gradient at filters like these is computed faster as a product of matrices."""
    plain = torch.backends.cpu.get_cpu_capability() == "AVX2"
    return plain and x.dtype == torch.float32 and weight.shape[2:] == (1, 1)


class Convolution(torch.autograd.Function):
    """A convolution that keeps the map's size, with `backward` as its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight, bias)
        return forward(x, weight, bias, training=True)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias = ctx.saved_tensors
        if torch.is_grad_enabled():
            return double_backward(conv2d_same, [x, weight, bias], grad)
        return tuple(backward(channels_last(grad), x, weight, ctx.needs_input_grad))


def forward(x: Tensor, weight: Tensor, bias: Tensor | None, training: bool = False) -> Tensor:
    """A convolution that keeps the map's size, in the fastest way there is.  Weight and bias are
    in the map's precision or in float32; `training`: a backward pass may follow."""
    if winograd.supports(x, weight, training):
        return winograd.forward(x, weight, bias)
    return conv2d_same(x, weight, bias)


def conv2d_same(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    bias = None if bias is None else bias.to(x.dtype)
    return F.conv2d(x, weight.to(x.dtype), bias, padding=weight.shape[2] // 2)


def backward(grad: Tensor, x: Tensor, weight: Tensor, wanted: tuple[bool, bool, bool]) -> list[Any]:
    """The gradients at a convolution's input (channels-last), weight and bias, where `wanted`."""
    if winograd.supports(x, weight, training=True):
        return [
            winograd.input_gradient(grad, weight) if wanted[0] else None,
            winograd.weight_gradient(grad, x, weight.shape[2]) if wanted[1] else None,
            pixels(grad).sum(0) if wanted[2] else None,
        ]
    weight = weight.to(x.dtype)
    product = wanted[1] and as_matmul(x, weight)
    # oneDNN computes the weight's gradient with the bias's, wanted or not.
    left = (wanted[0], False, False) if product else wanted
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
    if product:
        found[1] = (pixels(grad).T @ pixels(x))[:, :, None, None]
        found[2] = pixels(grad).sum(0) if wanted[2] else None
    return found


def pixels(x: Tensor) -> Tensor:
    """A channels-last map as a row a pixel: (N, C, H, W) -> (N·H·W, C)."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
