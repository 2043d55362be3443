"""The form of a network for inference inside PyTorch: the same answers in less time.

    fast = inference_form(network)
    logits = fast(photos)

Batch normalisation is folded into the convolutions, the 1×1 convolutions that read a module's
input become one, maps are channels-last, and in bfloat16 where the processor computes in it.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from googlenet.kernels import norm
from googlenet.kernels.convolution import convolution
from googlenet.kernels.fused_inception import LAST, SIBLINGS
from googlenet.kernels.pool import max_pool
from googlenet.kernels.tensor_views import channels_last, new_map, usable
from googlenet.models.fuse import fold_units
from googlenet.models.googlenet import ConvUnit, Inception
from googlenet.models.registry import Network
from googlenet.runtime.device import ComputeDevice


class InferenceForm(nn.Module):
    """A network in its form for inference: (N, C, H, W) float -> (N, classes) float32 logits."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.dtype = network, dtype

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(dtype=self.dtype, memory_format=torch.channels_last)
        logits: Tensor = self.network(x)
        return logits.float()


class MergedInception(nn.Module):
    """An Inception module without batch normalisation, its three 1×1 convolutions as one."""

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
        made = [conv(y) for conv, y in zip(convs, (*reduced, pooled), strict=True)]
        return torch.cat([kept, *map(F.relu, made)], dim=1)

    def side_by_side(self, first: Tensor, pooled: Tensor, convs: list[nn.Conv2d]) -> Tensor:
        """The rest of it, each branch's ReLU written to its place in the output."""
        widths = [self.widths[0], *(conv.out_channels for conv in convs)]
        y = new_map(first, sum(widths))
        outputs = torch.split(y, widths, dim=1)
        reduced = [new_map(first, width) for width in self.widths[1:]]
        norm.forward(torch.split(first, self.widths, dim=1), [outputs[0], *reduced], [], [], [])
        made = [
            channels_last(convolution(conv, each))
            for conv, each in zip(convs, (*reduced, pooled), strict=True)
        ]
        norm.forward(made, outputs[1:], [], [], [])
        return y


def inference_form(
    network: Network, *, precision: str = "auto", compiled: bool = False
) -> InferenceForm:
    """A copy of a network that gives the same logits faster; the network is left as it is.

    `precision`: "fp32", "bf16", or "auto" for bf16 where the processor computes in it.  In fp32
    logits differ by rounding alone, in bf16 by as much as under autocast.  The copy has no
    auxiliary heads, learns nothing and has no taps.  `compiled` has `torch.compile` make it
    faster still, at its first call for each shape of batch, for which it needs a C++ compiler.
    Raises UsageError for a precision that does not exist.
    """
    machine = ComputeDevice.detect(precision)
    form: Any = deepcopy(network).eval().requires_grad_(False)
    form.drop_heads()
    fold_units(form)
    for module in form.modules():
        if isinstance(module, ConvUnit):
            module.relu = nn.ReLU(inplace=True)  # nobody else reads what the convolution gives
    for name, module in list(form.named_children()):
        if isinstance(module, Inception) and all(type(module[n]) is ConvUnit for n in UNITS):
            setattr(form, name, MergedInception(module))
    dtype = torch.bfloat16 if machine.bf16 else torch.float32
    form = form.to(dtype=dtype, memory_format=torch.channels_last)
    whole = InferenceForm(form, dtype).eval()
    if compiled:
        whole.compile()
    return whole


UNITS = SIBLINGS + LAST
