"""Local response normalization across channels (Krizhevsky et al. 2012, section 3.3).

y = x / (k + alpha/size · Σ x²)^beta, the sum over a window of `size` channels.  docs/lrn.md has
the semantics beside other people's, the ways there are to compute it, and their speed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from googlenet.models.table import LRN

# Elements worked on at a time: a map of this size and what is computed from it stay in the cache.
PIECE = 1 << 18


class LocalResponseNorm(nn.Module):
    """LRN with the constants of a `table.LRN`: (N, C, H, W) -> the same, in x's dtype and layout.

    The window of channel c is c − size//2 … c + (size−1)//2, cut at the edges (zeros beyond), as
    in `torch.nn.functional.local_response_norm`.  Half precisions are computed in float32 and
    rounded once.  Only the input is kept for the backward pass.
    """

    def __init__(self, norm: LRN) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        if exporting():
            return normalize(x, self.norm)
        return Normalize.apply(x, self.norm)  # type: ignore[no-any-return, no-untyped-call]

    def extra_repr(self) -> str:
        return str(self.norm)


class Normalize(torch.autograd.Function):
    """`normalize` with `gradient` as its gradient, both in pieces that fit the cache."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, norm: LRN) -> Tensor:
        ctx.save_for_backward(x)
        ctx.norm = norm
        return in_pieces(lambda x: normalize(x, norm), x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,), norm = ctx.saved_tensors, ctx.norm
        if torch.is_grad_enabled():  # create_graph: in plain, differentiable operators
            return gradient(x, grad, norm), None
        return in_pieces(lambda x, grad: gradient(x, grad, norm), x, grad), None


def normalize(x: Tensor, norm: LRN) -> Tensor:
    """LRN in ordinary operators: (N, C, …) -> the same."""
    wide = widened(x)
    return (wide * power(denominator(wide, norm), -norm.beta)).to(x.dtype)


def gradient(x: Tensor, grad: Tensor, norm: LRN) -> Tensor:
    """The loss's gradient at LRN's input from `grad`, that at its output.

    With d the denominator's base, x_j reaches the output of every channel i whose window it is
    in: dx_j = g_j · d_j^−beta − 2 · alpha · beta / size · x_j · Σ_i g_i · x_i · d_i^(−beta−1).
    """
    wide = widened(x)
    base = denominator(wide, norm)
    direct = widened(grad) * power(base, -norm.beta)
    after, before = around(norm.size)  # the windows that hold a channel: the mirrored window
    across = window_sums(direct * wide / base, before, after)
    return (direct - (2 * norm.alpha * norm.beta / norm.size) * wide * across).to(x.dtype)


def denominator(x: Tensor, norm: LRN) -> Tensor:
    """k + alpha/size · Σ x², before the exponent."""
    return norm.k + norm.alpha / norm.size * window_sums(x.square(), *around(norm.size))


def around(size: int) -> tuple[int, int]:
    """How many channels before and after its own a window holds; an even one has more before."""
    return size // 2, (size - 1) // 2


def window_sums(x: Tensor, before: int, after: int) -> Tensor:
    """Sums over channels c − before … c + after, zeros beyond the edges: (N, C, …) -> the same.

    Shifted additions; in an exported graph a 1×1 convolution with a banded matrix of ones, one
    operator that every engine has and runs fast.
    """
    channels = x.shape[1]
    if exporting():
        ones = torch.ones(channels, channels, dtype=x.dtype, device=x.device)
        return F.conv2d(x, ones.triu(-before).tril(after)[:, :, None, None])
    padded = F.pad(x, (0, 0) * (x.dim() - 2) + (before, after))
    sums = padded.narrow(1, 0, channels).clone()
    for shift in range(1, before + after + 1):
        sums += padded.narrow(1, shift, channels)
    return sums


def power(x: Tensor, exponent: float) -> Tensor:
    """x ** exponent for positive x, by square roots where the exponent is −1/2 or −3/4."""
    if exponent == -0.5:
        return x.rsqrt()
    if exponent == -0.75:
        root = x.rsqrt()
        return root * root.sqrt()
    return x.pow(exponent)


def widened(x: Tensor) -> Tensor:
    """The same values in at least single precision."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def exporting() -> bool:
    """Whether the operators are being recorded to run elsewhere: torch.export, ONNX, jit."""
    return torch.compiler.is_exporting() or bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def in_pieces(function: Callable[..., Tensor], *maps: Tensor) -> Tensor:
    """function(*maps), which must treat every pixel alike, a cacheful of pixels at a time.

    maps: (N, C, H, W) each, brought to the memory layout of the first.  A compiler makes better
    pieces than this, and other devices want none.
    """
    if torch.compiler.is_compiling() or maps[0].device.type != "cpu":
        return function(*maps)
    last = not maps[0].is_contiguous() and maps[0].is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.contiguous_format
    maps = tuple(each.contiguous(memory_format=layout) for each in maps)
    result = torch.empty_like(maps[0])
    for target, *sources in zip(*(pieces(each, last) for each in (result, *maps)), strict=True):
        target.copy_(function(*sources))
    return result


def pieces(x: Tensor, channels_last: bool) -> list[Tensor]:
    """Views (n, C, pixels) of at most PIECE elements (or one pixel) that make up (N, C, H, W)."""
    channels = x.shape[1]
    pixels = max(1, PIECE // channels)
    if channels_last:
        return list(torch.split(x.permute(0, 2, 3, 1).reshape(-1, channels, 1), pixels))
    images = max(1, pixels // max(1, x.shape[2] * x.shape[3]))
    return [part for n in torch.split(x.flatten(2), images) for part in torch.split(n, pixels, 2)]
