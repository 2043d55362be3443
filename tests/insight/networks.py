"""Small networks with which every number matters, and their linear form."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from functools import cache

import torch
from torch import Tensor, nn

from googlenet import GoogLeNet
from googlenet.models.googlenet import MaxPool, SamePad
from googlenet.models.lrn import LocalResponseNorm
from tests.fixtures import disturb_norms, slow

# One of each kind of normalization and of padding, and a compared network.
QUICK = ("paper", "bn", "inception5h", "alexnet")


def each_of(names: Iterable[str]) -> list[object]:
    """Parameters for a test: those of QUICK, the others for the slow tests."""
    return [name if name in QUICK else slow(name) for name in names]


@cache
def lively(variant: str, *, width: float = 0.05, in_channels: int = 3) -> GoogLeNet:
    """A network in evaluation mode whose normalization does something."""
    generator = torch.Generator().manual_seed(3)
    network = GoogLeNet(variant, 4, width=width, in_channels=in_channels, generator=generator)
    disturb_norms(network, generator)
    return network.eval()


class LinearPool(nn.Module):
    """The average in place of a max pool's maximum, zeros beyond the border."""

    def __init__(self, pool: MaxPool) -> None:
        super().__init__()
        self.pad = deepcopy(pool.pad)
        if isinstance(self.pad, SamePad):
            self.pad.value = 0.0
        self.average = nn.AvgPool2d(pool.kernel, pool.stride, ceil_mode=pool.ceil_mode)

    def forward(self, x: Tensor) -> Tensor:
        return self.average(self.pad(x))  # type: ignore[no-any-return]


class Factor(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        return x * self.value


def linearized(network: nn.Module) -> nn.Module:
    """A copy made linear as the head of `circuits` says, module by module, in PyTorch's layers."""
    copy = deepcopy(network).requires_grad_(False)
    for parent in list(copy.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ReLU):
                parent.add_module(name, nn.Identity())
            elif isinstance(child, MaxPool):
                parent.add_module(name, LinearPool(child))
            elif isinstance(child, nn.MaxPool2d):
                parent.add_module(name, nn.AvgPool2d(3, 1, 1))
            elif isinstance(child, LocalResponseNorm):
                parent.add_module(name, Factor(child.norm.k**-child.norm.beta))
        if isinstance(parent, nn.BatchNorm2d):
            assert parent.running_mean is not None
            parent.running_mean.zero_()
            parent.bias.data.zero_()
        if isinstance(parent, nn.Conv2d) and parent.bias is not None:
            parent.bias.data.zero_()
    return copy
