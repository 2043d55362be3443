"""LeNet-5, AlexNet, Network-in-Network and VGG-16, built from the values of `baseline_tables.py`.

They have the same interface as `GoogLeNet`, so that the same commands train and evaluate them.
Shapes are written (N, C, H, W): images, channels, height, width.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from googlenet.models import baseline_tables as tables
from googlenet.models.init import initialize, skip_init_layer
from googlenet.models.lrn import LocalResponseNorm
from googlenet.models.table import MaxPool
from googlenet.models.taps import tap, tap_names


class Baseline(nn.Module):
    """A compared network: (N, in_channels, size, size) -> (N, classes) logits.

    `name` is one of `baseline_tables.BASELINES`; `classes`, `in_channels` and `size` default to
    those for which it was published; `width` multiplies every number of filters and units.
    Every weight is drawn from `generator` (PyTorch's global one if None) in the manner that
    `initialization` names.  Raises UsageError for a name, width or initialization that does not
    exist, and for a size too small to leave a pixel of every map.
    """

    aux_heads: tuple[str, ...] = ()  # no auxiliary heads
    dropout: nn.Dropout  # before the logits

    def __init__(
        self,
        name: str,
        classes: int | None = None,
        *,
        in_channels: int | None = None,
        size: int | None = None,
        width: float = 1.0,
        initialization: str | None = "he",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        network = tables.architecture(name).scaled(width)
        self.name, self.width = name, width
        self.classes = network.classes if classes is None else classes
        self.in_channels = network.in_channels if in_channels is None else in_channels
        self.size = network.size if size is None else size
        network.check_size(self.size)
        self.trunk = tuple(stage.name for stage in network.stages)
        channels, side = self.in_channels, self.size
        for stage, (filters, next_side) in zip(
            network.stages,
            network.outputs(self.size, self.classes, self.in_channels),
            strict=True,
        ):
            self.add_module(stage.name, build_stage(stage, channels, side, filters))
            channels, side = filters, next_side
        initialize(self, initialization, generator)

    @property
    def fixed(self) -> bool:
        """Whether it takes only images of `size`: fully connected layers fix the map's size."""
        return any(isinstance(module, nn.Linear) for module in self.modules())

    def drop_heads(self) -> None:
        """Nothing to do: these networks have no auxiliary heads."""

    def forward(self, x: Tensor) -> Tensor:
        for name in self.trunk:
            x = getattr(self, name)(x)
        return x.flatten(1)

    def forward_heads(self, x: Tensor) -> dict[str, Tensor]:
        """The logits of the only classifier, named as in GoogLeNet: "main"."""
        return {"main": self(x)}

    def tap(self, *names: str) -> AbstractContextManager[dict[str, Tensor]]:
        """Read activations by name while the context lasts: see `taps.tap`."""
        return tap(self, *names)

    def tap_names(self) -> list[str]:
        """Every name that `tap` takes, in the network's order."""
        return tap_names(self)


def build_stage(stage: tables.Stage, channels: int, side: int, filters: int) -> nn.Module:
    """The layer of one stage, from (N, channels, side, side) to `filters` channels or units."""
    match stage:
        case tables.Conv(_, fixed, kernel, stride, padding, groups):
            conv = skip_init_layer(
                nn.Conv2d, channels, filters, kernel, stride, padding, groups=groups
            )
            return conv if fixed is None else unit(conv=conv)
        case tables.Linear(_, fixed):
            linear = skip_init_layer(nn.Linear, channels * side * side, filters)
            return linear if fixed is None else unit(flatten=nn.Flatten(), linear=linear)
        case MaxPool(_, kernel, stride):
            return nn.MaxPool2d(kernel, stride, ceil_mode=True)
        case tables.GlobalPool():
            return nn.AdaptiveAvgPool2d(1)
        case tables.Normalize(_, norm):
            return LocalResponseNorm(norm)
        case tables.Dropout(_, rate):
            return nn.Dropout(rate)


def unit(**layers: nn.Module) -> nn.Sequential:
    """Layers and a ReLU, which `taps` finds by its name."""
    return nn.Sequential(OrderedDict(layers, relu=nn.ReLU()))
