"""Local response normalization, forward and backward, one pixel at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from googlenet.kernels.library import Response
from googlenet.kernels.tensor_views import call, is_bf16, usable
from googlenet.models.lrn import gradient
from googlenet.models.table import LRN

BETAS = (0.5, 0.75)  # square roots do for these


def supports(x: Tensor, norm: LRN) -> bool:
    """Whether the kernels can normalize a map."""
    return norm.beta in BETAS and usable(x)


class Normalize(torch.autograd.Function):
    """LRN of a map that `supports` accepts: (N, C, H, W) -> the same; keeps its input alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, norm: LRN) -> Tensor:
        ctx.save_for_backward(x)
        ctx.norm = norm
        y = torch.empty_like(x)
        rows, channels = x.numel() // x.shape[1], x.shape[1]
        call("lrn_forward", constants(norm), x, y, rows, channels, is_bf16=is_bf16(x))
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,), norm = ctx.saved_tensors, ctx.norm
        if torch.is_grad_enabled():  # create_graph: PyTorch's operators have gradients themselves
            return gradient(x, grad, norm), None
        grad = grad.to(x.dtype).contiguous(memory_format=torch.channels_last)
        dx = torch.empty_like(x)
        rows, channels = x.numel() // x.shape[1], x.shape[1]
        call("lrn_backward", constants(norm), x, grad, dx, rows, channels, is_bf16=is_bf16(x))
        return dx, None


def constants(norm: LRN) -> Response:
    return Response(norm.size, norm.alpha, norm.beta, norm.k)
