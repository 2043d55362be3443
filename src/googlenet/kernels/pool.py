"""Max pooling that keeps a byte a window for its backward pass, where PyTorch keeps eight."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from googlenet.kernels.library import Pool
from googlenet.kernels.tensor_views import call, double_backward, is_bf16, usable

MAX_WINDOW_SIDE = 16  # side of the largest window whose places fit a byte


def max_pool(x: Tensor, kernel: int, stride: int, padding: int = 0, ceil: bool = False) -> Tensor:
    """`F.max_pool2d(x, kernel, stride, padding, ceil_mode=ceil)`: (N, C, H, W) -> (N, C, H', W').

    The same bits, but for a bfloat16 gradient, argmax_index is summed in float32 and rounded once.
    """
    if not usable(x) or kernel > MAX_WINDOW_SIDE or 2 * padding > kernel:
        return F.max_pool2d(x, kernel, stride, padding, ceil_mode=ceil)
    if torch.is_grad_enabled() and x.requires_grad:
        return MaxPool.apply(x, kernel, stride, padding, ceil)  # type: ignore[no-any-return, no-untyped-call]
    return forward(x, sizes(x, kernel, stride, padding, ceil))[0]


class MaxPool(torch.autograd.Function):
    """`forward` with `backward` as its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: int, stride: int, padding: int, ceil: bool) -> Tensor:
        ctx.sizes, ctx.options = sizes(x, kernel, stride, padding, ceil), (kernel, stride, padding)
        ctx.ceil = ceil
        y, argmax_index = forward(x, ctx.sizes, keep=True)
        ctx.save_for_backward(x, argmax_index)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, argmax_index = ctx.saved_tensors
        if torch.is_grad_enabled():

            def plain(x: Tensor) -> Tensor:
                kernel, stride, padding = ctx.options
                return F.max_pool2d(x, kernel, stride, padding, ceil_mode=ctx.ceil)

            return *double_backward(plain, [x], grad), None, None, None, None
        dx = torch.empty_like(x)
        backward(grad, argmax_index, dx, ctx.sizes)
        return dx, None, None, None, None


def sizes(x: Tensor, kernel: int, stride: int, padding: int, ceil: bool) -> Pool:
    """The pool's sizes; in ceil mode the last window begins inside the map or its first padding."""
    n, c, height, width = x.shape

    def output(side: int) -> int:
        room = side + 2 * padding - kernel
        count = -(-room // stride) + 1 if ceil else room // stride + 1
        return count - (ceil and (count - 1) * stride >= side + padding)

    out_height, out_width = output(height), output(width)
    if min(out_height, out_width) < 1:
        raise RuntimeError(f"a window of {kernel} pixels must fit a map of {height}×{width}")
    return Pool(n, height, width, c, out_height, out_width, kernel, stride, padding)


def forward(x: Tensor, pool: Pool, keep: bool = False) -> tuple[Tensor, Tensor | None]:
    """The pooled map and, if asked to `keep` it, where in its window each value was."""
    shape = (pool.images, pool.channels, pool.out_height, pool.out_width)
    y = torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last)
    argmax_index = torch.empty_like(y, dtype=torch.uint8) if keep else None
    call("pool_forward", pool, x, y, argmax_index, is_bf16=is_bf16(x))
    return y, argmax_index


def backward(grad: Tensor, argmax_index: Tensor, dx: Tensor, pool: Pool, add: bool = False) -> None:
    """Write the gradient at the pool's input to `dx`, a channels-last map, or add it to that."""
    grad = grad.contiguous(memory_format=torch.channels_last)
    call("pool_backward", pool, grad, argmax_index, dx, int(add), is_bf16=is_bf16(dx))
