"""Batch normalization and ReLU in one pass, where PyTorch makes a pass through memory for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from googlenet.kernels.tensor_views import (
    call,
    channels_last,
    double_backward,
    has_hooks,
    is_bf16,
    maps,
    new_map,
    usable,
)

# What is saved of a batch: a row of each for all channels, as in kernels.cpp.
MEAN, VARIANCE, INVERSE, SCALE, SHIFT, STATS = range(6)


def norm_relu(x: Tensor, bn: nn.Module, relu: nn.Module) -> Tensor:
    """`relu(bn(x))`: (N, C, H, W) -> the same, in float32 inside and rounded once."""
    if not (usable(x) and is_plain_relu(relu)) or has_hooks(bn) or has_hooks(relu):
        return relu(bn(x))  # type: ignore[no-any-return]
    if type(bn) is nn.Identity:
        if not (torch.is_grad_enabled() and x.requires_grad):
            return relu(x)  # type: ignore[no-any-return]
        return Relu.apply(x)  # type: ignore[no-any-return, no-untyped-call]
    if not supports([bn], x):
        return relu(bn(x))  # type: ignore[no-any-return]
    return NormRelu.apply([bn], x, bn.weight, bn.bias)  # type: ignore[no-any-return, no-untyped-call]


def supports(layers: Sequence[nn.Module], x: Tensor) -> bool:
    """Whether layers are batch normalization of a kind that `forward` knows, on maps like x's."""
    enough = x.shape[0] * x.shape[2] * x.shape[3] > 1  # PyTorch tells no variance of one value
    return all(
        type(layer) is nn.BatchNorm2d
        and layer.running_mean is not None
        and layer.bias is not None
        and layer.bias.dtype == torch.float32
        and layer.training == layers[0].training
        and (enough if layer.training else not torch.is_grad_enabled())
        for layer in layers
    )


def is_plain_relu(layer: nn.Module) -> bool:
    return type(layer) is nn.ReLU


class NormRelu(torch.autograd.Function):
    """`forward` for a single map, with `backward` as its gradient."""

    @staticmethod
    def forward(
        ctx: Any, layers: list[nn.BatchNorm2d], x: Tensor, scale: Tensor | None, shift: Tensor
    ) -> Tensor:
        y = new_map(x, x.shape[1])
        saved_stats = forward([x], [y], layers, [scale], [shift])
        ctx.save_for_backward(x, scale, shift, saved_stats)
        ctx.eps = layers[0].eps
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, shift, saved_stats = ctx.saved_tensors
        if torch.is_grad_enabled():

            def plain(x: Tensor, scale: Tensor | None, shift: Tensor) -> Tensor:
                return F.batch_norm(x, None, None, scale, shift, True, eps=ctx.eps).relu()

            return None, *double_backward(plain, [x, scale, shift], grad)
        dx = torch.empty_like(x)
        dscale, dshift = backward([grad], [x], [], [dx], saved_stats)
        return None, dx, None if scale is None else dscale, dshift


class Relu(torch.autograd.Function):
    """`forward` for a single map that is not normalized, with `backward` as its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = new_map(x, x.shape[1])
        forward([x], [y], [], [], [])
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (y,) = ctx.saved_tensors
        if torch.is_grad_enabled():
            return (grad.masked_fill(y <= 0, 0),)
        dx = torch.empty_like(y)
        backward([grad], [], [y], [dx], None)
        return (dx,)


def forward(
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    layers: Sequence[nn.BatchNorm2d],
    scales: Sequence[Tensor | None],
    shifts: Sequence[Tensor],
) -> Tensor | None:
    """Write the ReLU of each input, normalized by the layer at its place, to the output there.

    With no layers at all nothing is normalized.  Returns what `backward` needs, (STATS, channels
    of all); in training the layers' running statistics take the batch in.
    """
    view, narrow = maps(inputs, outputs), is_bf16(inputs[0])
    if not layers:
        call("activate", view, None, None, is_bf16=narrow)
        return None
    gamma = torch.cat(
        [torch.ones_like(b) if w is None else w for w, b in zip(scales, shifts, strict=True)]
    )
    beta = torch.cat(list(shifts))
    if layers[0].training:
        saved_stats = torch.empty(STATS, len(beta), dtype=torch.float32, device=beta.device)
        eps = torch.tensor([layer.eps for layer in layers], dtype=torch.float64, device="cpu")
        call("statistics", view, gamma, beta, eps, saved_stats, is_bf16=narrow)
        update_running_stats(layers, saved_stats, view.rows)
    else:
        saved_stats = from_running(layers, gamma, beta)
    call("activate", view, saved_stats[SCALE], saved_stats[SHIFT], is_bf16=narrow)
    return saved_stats


def from_running(layers: Sequence[nn.BatchNorm2d], gamma: Tensor, beta: Tensor) -> Tensor:
    """What `statistics` would find if the batch's were the running ones."""
    mean: Any = torch.cat([layer.running_mean for layer in layers])  # type: ignore[misc]
    variance = torch.cat([layer.running_var for layer in layers])  # type: ignore[misc]
    eps = torch.cat([torch.full_like(layer.bias, layer.eps) for layer in layers])
    inverse = 1 / (variance + eps).sqrt()
    scale = gamma * inverse
    return torch.stack([mean, variance, inverse, scale, beta - mean * scale])


def update_running_stats(layers: Sequence[nn.BatchNorm2d], saved_stats: Tensor, count: int) -> None:
    """Move the layers' running statistics towards the batch's, as `nn.BatchNorm2d` does."""
    widths = [layer.num_features for layer in layers]
    means, variances = (
        torch.split(saved_stats[MEAN], widths),
        torch.split(saved_stats[VARIANCE], widths),
    )
    for layer, mean, variance in zip(layers, means, variances, strict=True):
        assert layer.running_mean is not None
        assert layer.running_var is not None
        assert layer.num_batches_tracked is not None
        layer.num_batches_tracked.add_(1)
        share = layer.momentum
        if share is None:  # PyTorch's sign for a plain mean over batches
            share = 1 / int(layer.num_batches_tracked)
        layer.running_mean.lerp_(mean, share)
        layer.running_var.lerp_(variance * (count / (count - 1)), share)


def backward(
    grads: Sequence[Tensor],
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    targets: Sequence[Tensor],
    saved_stats: Tensor | None,
) -> Tensor:
    """Write to `targets` the gradients at the inputs of `forward` from those at its outputs.

    Without normalization the outputs are needed, with it the inputs.  Returns the gradients of
    the scales and of the shifts, (2, channels of all), or (2, 0).
    """
    grads = [channels_last(grad) for grad in grads]
    narrow = is_bf16(targets[0])
    if saved_stats is None:
        call("relu_backward", maps(grads, outputs, targets), is_bf16=narrow)
        return torch.empty(2, 0)
    found = torch.empty_like(saved_stats[:2])
    call("norm_backward", maps(grads, inputs, targets), saved_stats, found, is_bf16=narrow)
    return found
