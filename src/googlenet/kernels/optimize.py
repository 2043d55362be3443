"""Faster modules in place of a network's own: for training in place, for inference in a copy.

    optimize(network)                        # the same parameters and names, fewer passes
    restore(network)                         # the network's own modules again
    fast = optimize_for_inference(network)   # batch normalization folded, 1×1 convolutions merged
    logits = fast(images)

Results differ from the network's own by rounding alone.  Where the kernels cannot work, or a hook
watches inside, the modules run their own layers: other devices, precisions and memory layouts.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from googlenet.kernels import fused_inception, lrn, norm
from googlenet.kernels.convolution import convolution
from googlenet.kernels.fused_inception import LAST, SIBLINGS, UNITS
from googlenet.kernels.pool import max_pool
from googlenet.kernels.tensor_views import channels_last, new_map, usable
from googlenet.models.fuse import fold_units
from googlenet.models.googlenet import ConvUnit, GoogLeNet, Inception, MaxPool
from googlenet.models.lrn import LocalResponseNorm
from googlenet.models.registry import Network
from googlenet.runtime.device import ComputeDevice

Module = TypeVar("Module", bound=nn.Module)


class FusedConvUnit(ConvUnit):
    """A convolution, and its normalization with the ReLU in one pass."""

    def forward(self, x: Tensor) -> Tensor:
        return norm.norm_relu(convolution(self.conv, self.pad(x)), self.bn, self.relu)


class FusedInception(Inception):
    """The whole module as one function."""

    def forward(self, x: Tensor) -> Tensor:
        if fused_inception.supports(self, x):
            return fused_inception.branches(self, x)
        return super().forward(x)


class FastMaxPool(MaxPool):
    """Max pooling that keeps one byte per window for its backward pass."""

    def forward(self, x: Tensor) -> Tensor:
        return max_pool(self.pad(x), self.kernel, self.stride, ceil=self.ceil_mode)


class FastLocalResponseNorm(LocalResponseNorm):
    """LRN one pixel at a time."""

    def forward(self, x: Tensor) -> Tensor:
        if lrn.supports(x, self.norm):
            return lrn.Normalize.apply(x, self.norm)  # type: ignore[no-any-return, no-untyped-call]
        return super().forward(x)


REPLACEMENTS: dict[type[nn.Module], type[nn.Module]] = {
    ConvUnit: FusedConvUnit,
    Inception: FusedInception,
    MaxPool: FastMaxPool,
    LocalResponseNorm: FastLocalResponseNorm,
}


def optimize(network: Module) -> Module:
    """Replace a network's modules in place, for training or inference on the CPU; returns it.

    Parameters, their names, hooks and modes stay: the replacements are subclasses without state.
    """
    return change_classes(network, REPLACEMENTS)


def restore(network: Module) -> Module:
    """Undo `optimize`."""
    return change_classes(network, {new: old for old, new in REPLACEMENTS.items()})


def change_classes(network: Module, classes: dict[type[nn.Module], type[nn.Module]]) -> Module:
    for module in network.modules():
        if type(module) in classes:
            module.__class__ = classes[type(module)]
    return network


class MergedInception(nn.Module):
    """An Inception module without batch normalization, its three 1×1 convolutions as one."""

    def __init__(self, module: Inception) -> None:
        super().__init__()
        units = [cast(ConvUnit, module[name]) for name in SIBLINGS]
        self.widths = [unit.conv.out_channels for unit in units]
        self.siblings = deepcopy(units[0].conv)
        self.siblings.out_channels = sum(self.widths)
        for name in ("weight", "bias"):
            joined = torch.cat([getattr(unit.conv, name).detach() for unit in units])
            setattr(self.siblings, name, nn.Parameter(joined, requires_grad=False))
        self.last = nn.ModuleList(cast(ConvUnit, module[name]).conv for name in LAST)

    def forward(self, x: Tensor) -> Tensor:
        first = self.siblings(x)
        pooled = max_pool(x, 3, 1, 1)
        convs = cast(list[nn.Conv2d], self.last)
        if usable(first):
            return self.side_by_side(channels_last(first), pooled, convs)
        kept, *reduced = torch.split(F.relu(first), self.widths, dim=1)
        outputs = [conv(y) for conv, y in zip(convs, (*reduced, pooled), strict=True)]
        return torch.cat([kept, *map(F.relu, outputs)], dim=1)

    def side_by_side(self, first: Tensor, pooled: Tensor, convs: list[nn.Conv2d]) -> Tensor:
        """The rest of it, each branch's ReLU written to its place in the output."""
        widths = [self.widths[0], *(conv.out_channels for conv in convs)]
        y = new_map(first, sum(widths))
        places = torch.split(y, widths, dim=1)
        reduced = [new_map(first, width) for width in self.widths[1:]]
        norm.forward(torch.split(first, self.widths, dim=1), [places[0], *reduced], [], [], [])
        outputs = [
            channels_last(convolution(conv, each))
            for conv, each in zip(convs, (*reduced, pooled), strict=True)
        ]
        norm.forward(outputs, places[1:], [], [], [])
        return y


class InferenceNetwork(nn.Module):
    """What `optimize_for_inference` makes: (N, C, H, W) float -> (N, classes) float32 logits.

    Images and feature maps may have any memory layout and floating-point type.
    """

    def __init__(self, network: Network, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.dtype = network, dtype

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(self.cast(x))
        return logits.float()

    def features_and_summary(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`GoogLeNet.features_and_summary`, the features in this network's precision."""
        assert isinstance(self.network, GoogLeNet)
        return self.network.features_and_summary(self.cast(x))

    def classify(self, features: Tensor) -> Tensor:
        """`GoogLeNet.classify`, in float32."""
        assert isinstance(self.network, GoogLeNet)
        return self.network.classify(self.cast(features)).float()

    def cast(self, x: Tensor) -> Tensor:
        return x.to(dtype=self.dtype, memory_format=torch.channels_last)


def optimize_for_inference(
    network: Network, *, precision: str = "auto", compiled: bool = False
) -> InferenceNetwork:
    """A copy of a network that gives the same logits faster; the network stays as it is.

    `precision`: "fp32", "bf16", or "auto" for bf16 where the CPU has instructions for it.  In
    fp32 logits differ by rounding alone, in bf16 by as much as under autocast.  The copy has no
    auxiliary heads, gradients or taps.  `compiled` applies `torch.compile`, which needs a C++
    compiler at the first call with each batch shape.
    Raises UsageError for a precision that does not exist.
    """
    device = ComputeDevice.detect(precision)
    copy: Any = deepcopy(network).eval().requires_grad_(False)
    copy.drop_heads()
    fold_units(copy)
    optimize(copy)
    for module in copy.modules():
        if isinstance(module, ConvUnit):
            module.relu = nn.ReLU(inplace=True)  # nothing else reads the convolution's output
    for name, module in list(copy.named_children()):
        if isinstance(module, Inception) and all(isinstance(module[n], ConvUnit) for n in UNITS):
            setattr(copy, name, MergedInception(module))
    dtype = torch.bfloat16 if device.bf16 else torch.float32
    fast = InferenceNetwork(copy.to(dtype=dtype, memory_format=torch.channels_last), dtype).eval()
    if compiled:
        fast.compile()
    return fast
