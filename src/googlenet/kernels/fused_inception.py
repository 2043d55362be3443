"""An Inception module as one function: Figure 2(b) with fewer passes through memory.

The three 1×1 convolutions that read the module's input are one convolution, the four branches
write side by side into one map, and normalization and ReLU are one pass.  Names and parameters
stay the module's own; the results differ from it by rounding alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from googlenet.kernels import convolution, norm, pool
from googlenet.kernels.tensor_views import (
    channels_last,
    double_backward,
    has_hooks,
    new_map,
    usable,
)

SIBLINGS = ("1x1", "3x3_reduce", "5x5_reduce")  # they read the module's input
LAST = ("3x3", "5x5", "pool_proj")  # with "1x1" they make its output
UNITS = SIBLINGS + LAST
POOL = (3, 1, 1, False)  # kernel, stride, padding, ceil mode


def supports(module: nn.ModuleDict, x: Tensor) -> bool:
    """Whether `branches` computes what an Inception module does with a map: no hook watches
    inside, its layers are of the kinds it was built with, and the kernels can read the map."""
    if not usable(x) or any(map(has_hooks, module.values())):
        return False
    units: list[Any] = [module[name] for name in UNITS]
    if any(isinstance(unit, nn.Identity) for unit in units):
        return False  # Figure 2(a)
    if not all(
        convolution.is_plain_conv(unit.conv, x) and norm.is_plain_relu(unit.relu) for unit in units
    ):
        return False
    norms = [unit.bn for unit in units]
    if all(type(bn) is nn.Identity for bn in norms):
        return all(unit.conv.bias is not None for unit in units)
    return all(unit.conv.bias is None for unit in units) and norm.supports(norms, x)


def branches(module: nn.ModuleDict, x: Tensor) -> Tensor:
    """An Inception module's output for a map that it `supports`: (N, C, H, W) -> (N, C', H, W)."""
    units: list[Any] = [module[name] for name in UNITS]
    layers = [unit.bn for unit in units]
    weights = [unit.conv.weight for unit in units]
    if isinstance(layers[0], nn.Identity):
        layers, scales = [], [None] * 6
        shifts = [unit.conv.bias for unit in units]
    else:
        scales, shifts = [bn.weight for bn in layers], [bn.bias for bn in layers]
    keep = convolution.needs_gradient((x, *weights, *scales, *shifts))
    y: Tensor = Branches.apply(layers, keep, x, *weights, *scales, *shifts)  # type: ignore[no-untyped-call]
    return y


class Branches(torch.autograd.Function):
    """The module as a function of its map and parameters.

    Inputs: 6 layers of batch normalization, or none; whether a backward pass may follow; the map;
    6 weights; 6 scales and 6 shifts of the layers, or 6 times None and the 6 biases of the
    convolutions; all in the order of UNITS.
    """

    @staticmethod
    def forward(
        ctx: Any, layers: list[nn.BatchNorm2d], keep: bool, x: Tensor, *parameters: Tensor | None
    ) -> Tensor:
        weights, scales, shifts = split_parameters(parameters)
        biases = [None] * 6 if layers else list(shifts)
        widths = [weight.shape[0] for weight in weights]
        siblings = torch.cat([weight.to(x.dtype) for weight in weights[:3]])
        bias = None if layers else torch.cat(shifts[:3]).to(x.dtype)

        first = channels_last(F.conv2d(x, siblings, bias))
        y = new_map(x, sum(widths) - sum(widths[1:3]))
        outputs = torch.split(y, [widths[0], *widths[3:]], 1)
        reduced = [new_map(x, width) for width in widths[1:3]]
        firsts = torch.split(first, widths[:3], 1)
        stats_first = norm.forward(
            firsts, [outputs[0], *reduced], layers[:3], scales[:3], shifts[:3]
        )
        pooled, argmax_index = pool.forward(x, pool.sizes(x, *POOL), keep)
        inputs = [*reduced, pooled]
        last = [
            channels_last(convolution.forward(each, w, b, keep))
            for each, w, b in zip(inputs, weights[3:], biases[3:], strict=True)
        ]
        stats_last = norm.forward(last, outputs[1:], layers[3:], scales[3:], shifts[3:])

        ctx.eps, ctx.widths = [layer.eps for layer in layers], widths
        maps = (first, *last, None) if layers else (None,) * 4 + (y,)
        ctx.save_for_backward(
            x,
            siblings,
            *weights[3:],
            *inputs,
            argmax_index,
            stats_first,
            stats_last,
            *maps,
            *parameters,
        )
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, siblings, *rest = ctx.saved_tensors
        weights, inputs, (argmax_index, stats_first, stats_last) = rest[:3], rest[3:6], rest[6:9]
        first, last, y, parameters = rest[9], rest[10:13], rest[13], rest[14:]
        if torch.is_grad_enabled():
            return (
                None,
                None,
                *double_backward(lambda *p: plain(ctx.eps, *p), [x, *parameters], grad),
            )
        widths, normed, wanted = ctx.widths, bool(ctx.eps), ctx.needs_input_grad[2:]
        shape = [widths[0], *widths[3:]]
        grads = torch.split(grad, shape, 1)
        outputs = [] if normed else list(torch.split(y, shape, 1))

        d_last = [new_map(x, width) for width in widths[3:]]
        d_norm_last = norm.backward(grads[1:], last, outputs[1:], d_last, stats_last)
        back = [
            convolution.backward(*each, (True, wanted[4 + at], not normed))
            for at, each in enumerate(zip(d_last, inputs, weights, strict=True))
        ]
        d_first = new_map(x, sum(widths[:3]))
        d_norm_first = norm.backward(
            [grads[0], back[0][0], back[1][0]],
            torch.split(first, widths[:3], 1) if normed else [],
            [*outputs[:1], *inputs[:2]],
            torch.split(d_first, widths[:3], 1),
            stats_first,
        )
        dx, d_siblings, d_bias = convolution.backward(
            d_first, x, siblings, (wanted[0], any(wanted[1:4]), not normed)
        )
        if wanted[0]:
            pool.backward(back[2][0], argmax_index, dx, pool.sizes(x, *POOL), add=True)
        d_first_three: Any = (
            [None] * 3 if d_siblings is None else torch.split(d_siblings, widths[:3])
        )
        d_weights = [*d_first_three, *(each[1] for each in back)]
        d_scales: list[Any] = [None] * 6
        if normed:
            both = torch.cat([d_norm_first, d_norm_last], dim=1)
            d_scales, d_shifts = (list(torch.split(row, widths)) for row in both)
        else:
            d_shifts = [*torch.split(d_bias, widths[:3]), *(each[2] for each in back)]
        found = [*d_weights, *d_scales, *d_shifts]
        return (
            None,
            None,
            dx,
            *(
                None if each is None or parameter is None else each.to(parameter.dtype)
                for each, parameter in zip(found, parameters, strict=True)
            ),
        )


def split_parameters(
    parameters: Sequence[Tensor | None],
) -> tuple[list[Tensor], list[Tensor | None], list[Tensor]]:
    """The weights, the scales and the shifts."""
    weights = [weight for weight in parameters[:6] if weight is not None]
    return weights, list(parameters[6:12]), [b for b in parameters[12:] if b is not None]


def plain(eps: Sequence[float], x: Tensor, *parameters: Tensor | None) -> Tensor:
    """The same in PyTorch's operators, which have gradients of every order."""
    weights, scales, shifts = split_parameters(parameters)

    def unit(x: Tensor, at: int) -> Tensor:
        y = convolution.conv2d_same(x, weights[at], None if eps else shifts[at])
        if eps:
            y = F.batch_norm(y, None, None, scales[at], shifts[at], True, eps=eps[at])
        return y.relu()

    pooled = F.max_pool2d(x, *POOL[:3])
    return torch.cat([unit(x, 0), unit(unit(x, 1), 3), unit(unit(x, 2), 4), unit(pooled, 5)], dim=1)
