"""Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from googlenet.table import LRN


class LocalResponseNorm(nn.Module):
    """x / (k + alpha/size · Σ x²)^beta over a window of channels: (N, C, H, W) -> the same.

    The window of channel c is c − size//2 … c + (size−1)//2, cut at the edges (zeros beyond).
    The sum is a 1×1 convolution with a banded matrix of ones: an ordinary operator, which runs
    at the speed of a small layer, where `torch.nn.functional.local_response_norm` takes 70 % of
    the whole network's time on a CPU.
    """

    def __init__(self, norm: LRN) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        size, alpha, beta, k = self.norm.size, self.norm.alpha, self.norm.beta, self.norm.k
        ones = torch.ones(x.shape[1], x.shape[1], dtype=x.dtype, device=x.device)
        band = ones.triu(-(size // 2)).tril((size - 1) // 2)
        sums = F.conv2d(x.square(), band[:, :, None, None])
        return x * power(k + alpha / size * sums, -beta)

    def extra_repr(self) -> str:
        return str(self.norm)


def power(x: Tensor, exponent: float) -> Tensor:
    """x ** exponent for positive x, by square roots where the exponent is −1/2 or −3/4."""
    if exponent == -0.5:
        return x.rsqrt()
    if exponent == -0.75:
        root = x.rsqrt()
        return root * root.sqrt()
    return x.pow(exponent)
