"""What is linear of the network's parts, as convolutions that can be composed: see `circuits`."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from googlenet.insight.receptive_field import chain_to, padding_before
from googlenet.models.fuse import with_norm
from googlenet.models.googlenet import BRANCHES, ConvUnit, Inception, MaxPool, SeparableUnit
from googlenet.models.lrn import LocalResponseNorm
from googlenet.runtime.errors import UsageError


class LinearMap(NamedTuple):
    """A convolution without bias: at place i its kernel begins at stride · i + offset."""

    weight: Tensor  # (out, in, kh, kw) float32
    stride: int = 1
    offset: int = 0


def is_reduction(module: nn.Module) -> bool:
    return isinstance(module, ConvUnit) and module.conv.kernel_size == (1, 1)


def last_map(module: nn.Module, branch: str) -> LinearMap:
    """The map of a target, or of a part of a module."""
    match module:
        case nn.Linear():
            return LinearMap(module.weight.detach().float().cpu()[:, :, None, None])
        case Inception() if branch:
            return branch_map(module, chain_to(branch))
        case Inception():
            return module_map(module)
        case ConvUnit() | SeparableUnit():
            return unit_map(module)
    raise UsageError(f"target must have weights, got {type(module).__name__}")


def before(module: nn.Module, then: LinearMap) -> LinearMap:
    """The map of a stage between source and target, and of what comes after it."""
    match module:
        case MaxPool():
            return after_pool(then, module.kernel, module.stride, -padding_before(module.pad))
        case LocalResponseNorm():
            return then._replace(weight=then.weight * module.norm.k**-module.norm.beta)
    return compose(last_map(module, ""), then)


def unit_map(unit: ConvUnit | SeparableUnit) -> LinearMap:
    """A convolution with its normalization."""
    if isinstance(unit, SeparableUnit):
        return compose(conv_map(unit.depthwise, 0), unit_map(unit.pointwise))
    norm = unit.bn
    conv = with_norm(unit.conv, norm) if isinstance(norm, nn.BatchNorm2d) else unit.conv
    return conv_map(conv, padding_before(unit.pad))


def conv_map(conv: nn.Conv2d, padding: int) -> LinearMap:
    """A plain convolution; a depthwise one has a weight of zero where channels do not meet."""
    weight = conv.weight.detach().float().cpu()
    if conv.groups > 1:
        per_group = conv.out_channels // conv.groups
        dense = torch.zeros(conv.out_channels, conv.in_channels, *weight.shape[2:])
        dense[range(conv.out_channels), [o // per_group for o in range(len(weight))]] = weight[:, 0]
        weight = dense
    return LinearMap(weight, conv.stride[0], -padding - int(conv.padding[0]))


def branch_map(module: Inception, chain: tuple[str, ...]) -> LinearMap:
    """One branch of a module, or a part of it."""
    result: LinearMap | None = None
    for layer in (module[name] for name in reversed(chain)):
        if isinstance(layer, nn.MaxPool2d):
            result = after_pool(result or identity(module), 3, 1, -1)
        elif isinstance(layer, ConvUnit):  # a naive module has none in some places
            result = unit_map(layer) if result is None else compose(unit_map(layer), result)
    assert result is not None
    return result


def identity(module: Inception) -> LinearMap:
    channels = cast(ConvUnit, module["1x1"]).conv.in_channels
    return LinearMap(torch.eye(channels)[:, :, None, None])


def module_map(module: Inception) -> LinearMap:
    """A whole module: its branches side by side, in kernels of the size of the largest."""
    branches = [branch_map(module, chain) for chain in BRANCHES.values()]
    side = max(each.weight.shape[-1] for each in branches)
    padded = [F.pad(each.weight, [(side - each.weight.shape[-1]) // 2] * 4) for each in branches]
    return LinearMap(torch.cat(padded), 1, -(side // 2))


def branch_slice(module: Inception, branch: str) -> slice:
    """Where a branch's units lie in its module's output.  Raises UsageError for no branch."""
    begin = 0
    ends = {[n for n in c if not isinstance(module[n], nn.Identity)][-1]: c
            for c in BRANCHES.values()}  # fmt: skip
    for name, chain in ends.items():
        units = len(branch_map(module, chain).weight)
        if name == branch:
            return slice(begin, begin + units)
        begin += units
    raise UsageError(f"source must be a module or one of {', '.join(ends)}, got {branch!r}")


def compose(first: LinearMap, then: LinearMap) -> LinearMap:
    """One convolution for two."""
    (out, _, rows, columns), (_, inputs, height, width) = then.weight.shape, first.weight.shape
    step = first.stride
    total = then.weight.new_zeros(
        out, inputs, height + (rows - 1) * step, width + (columns - 1) * step
    )
    for row in range(rows):
        for column in range(columns):
            part = torch.tensordot(then.weight[:, :, row, column], first.weight, 1)
            total[:, :, row * step :, column * step :][:, :, :height, :width] += part
    return LinearMap(total, step * then.stride, first.offset + step * then.offset)


def after_pool(then: LinearMap, kernel: int, stride: int, offset: int) -> LinearMap:
    """One convolution for an average pool and what comes after it."""
    *channels, rows, columns = then.weight.shape
    height, width = kernel + (rows - 1) * stride, kernel + (columns - 1) * stride
    total = then.weight.new_zeros(*channels, height, width)
    part = then.weight / kernel**2
    for row in range(kernel):
        for column in range(kernel):
            total[:, :, row::stride, column::stride][:, :, :rows, :columns] += part
    return LinearMap(total, stride * then.stride, offset + stride * then.offset)
