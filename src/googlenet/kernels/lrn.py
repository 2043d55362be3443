"""Local response normalisation, forward and backward, a pixel at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from googlenet.kernels.library import Response
from googlenet.kernels.tensor_views import call, half, usable
from googlenet.models.table import LRN

BETAS = (0.5, 0.75)  # square roots do for these


def fits(x: Tensor, norm: LRN) -> bool:
    """Whether the kernels can normalise a map."""
    return norm.beta in BETAS and usable(x)


def forward(x: Tensor, norm: LRN) -> Tensor:
    """LRN of a map that `fits`: (N, C, H, W) -> the same."""
    y = torch.empty_like(x)
    rows, channels = x.numel() // x.shape[1], x.shape[1]
    call("lrn_forward", constants(norm), x, y, rows, channels, half=half(x))
    return y


def backward(x: Tensor, grad: Tensor, norm: LRN) -> Tensor:
    """The gradient at the input from that at the output."""
    grad = grad.to(x.dtype).contiguous(memory_format=torch.channels_last)
    dx = torch.empty_like(x)
    rows, channels = x.numel() // x.shape[1], x.shape[1]
    call("lrn_backward", constants(norm), x, grad, dx, rows, channels, half=half(x))
    return dx


def constants(norm: LRN) -> Response:
    return Response(norm.size, norm.alpha, norm.beta, norm.k)
