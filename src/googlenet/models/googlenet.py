"""GoogLeNet: Figure 3 of the paper, built from a value of `table.py`.

Shapes are written (N, C, H, W): images, channels, height, width.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from googlenet.models import sides, table
from googlenet.models.init import initialize, skip_init_layer
from googlenet.models.lrn import LocalResponseNorm
from googlenet.models.taps import tap, tap_names


class SamePad(nn.Module):
    """TensorFlow's SAME padding: what is left over goes to the bottom and the right."""

    def __init__(self, kernel: int, stride: int, value: float = 0.0) -> None:
        super().__init__()
        self.kernel, self.stride, self.value = kernel, stride, value

    def forward(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        for side in (x.shape[3], x.shape[2]):
            total = max(0, (-(-side // self.stride) - 1) * self.stride + self.kernel - side)
            pads += [total // 2, total - total // 2]
        return F.pad(x, pads, value=self.value)


class MaxPool(nn.Module):
    """Max pooling: ceil mode without padding (Caffe), or SAME (TensorFlow)."""

    def __init__(self, kernel: int, stride: int, padding: str) -> None:
        super().__init__()
        same = padding == "same"
        self.pad = SamePad(kernel, stride, -torch.inf) if same else nn.Identity()
        self.kernel, self.stride, self.ceil_mode = kernel, stride, not same

    def forward(self, x: Tensor) -> Tensor:
        x = self.pad(x)
        return F.max_pool2d(x, self.kernel, self.stride, ceil_mode=self.ceil_mode)


class ConvUnit(nn.Module):
    """A convolution with the variant's normalization and a ReLU: (N, C, H, W) -> (N, F, H', W')."""

    def __init__(
        self, in_channels: int, filters: int, kernel: int, stride: int, network: table.Variant
    ) -> None:
        super().__init__()
        norm = network.norm
        padded_before = network.padding == "same" and stride > 1
        self.pad = SamePad(kernel, stride) if padded_before else nn.Identity()
        self.conv = skip_init_layer(
            nn.Conv2d,
            in_channels,
            filters,
            kernel,
            stride=stride,
            padding=0 if padded_before else kernel // 2,
            bias=not isinstance(norm, table.BatchNorm),
        )
        self.bn = batch_norm(filters, norm) if isinstance(norm, table.BatchNorm) else nn.Identity()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn(self.conv(self.pad(x))))  # type: ignore[no-any-return]


class SeparableUnit(nn.Module):
    """A depthwise convolution and the pointwise one that mixes it: `google2014`'s first layer."""

    def __init__(
        self, in_channels: int, filters: int, kernel: int, stride: int, network: table.Variant
    ) -> None:
        super().__init__()
        hidden = in_channels * table.STEM_DEPTH_MULTIPLIER
        self.depthwise = skip_init_layer(
            nn.Conv2d, in_channels, hidden, kernel, stride, kernel // 2, groups=in_channels,
            bias=False,
        )  # fmt: skip
        self.pointwise = ConvUnit(hidden, filters, 1, 1, network)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))  # type: ignore[no-any-return]


def batch_norm(channels: int, norm: table.BatchNorm) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(channels, eps=norm.eps)
    if not norm.scale:
        layer.register_parameter("weight", None)
    return layer


# The layers that each branch of a module runs through, in the order of its output.
BRANCHES = {
    "1x1": ("1x1",),
    "3x3": ("3x3_reduce", "3x3"),
    "5x5": ("5x5_reduce", "5x5"),
    "pool_proj": ("pool", "pool_proj"),
}


class Inception(nn.ModuleDict):
    """Figure 2(b), or 2(a) where the variant is naive: four branches side by side."""

    def __init__(self, in_channels: int, widths: table.Widths, network: table.Variant) -> None:
        def conv(inputs: int, filters: int, kernel: int) -> ConvUnit:
            return ConvUnit(inputs, filters, kernel, 1, network)

        large = network.large_kernel
        super().__init__()
        self["1x1"] = conv(in_channels, widths.c1, 1)
        if network.has_reductions:
            self["3x3_reduce"] = conv(in_channels, widths.r3, 1)
            self["3x3"] = conv(widths.r3, widths.c3, 3)
            self["5x5_reduce"] = conv(in_channels, widths.r5, 1)
            self["5x5"] = conv(widths.r5, widths.c5, large)
        else:
            self["3x3_reduce"] = nn.Identity()
            self["3x3"] = conv(in_channels, widths.c3, 3)
            self["5x5_reduce"] = nn.Identity()
            self["5x5"] = conv(in_channels, widths.c5, large)
        self["pool"] = nn.MaxPool2d(3, stride=1, padding=1)
        self["pool_proj"] = (
            conv(in_channels, widths.proj, 1) if network.has_reductions else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(
            [
                self["1x1"](x),
                self["3x3"](self["3x3_reduce"](x)),
                self["5x5"](self["5x5_reduce"](x)),
                self["pool_proj"](self["pool"](x)),
            ],
            dim=1,
        )


class HeadPool(nn.Module):
    """Average pooling to 4×4 with `sides.head_windows`: (N, C, H, W) -> (N, C, 4, 4)."""

    def forward(self, x: Tensor) -> Tensor:
        windows, offsets = zip(*map(sides.head_windows, x.shape[2:]), strict=True)
        # Windows that lie evenly, as on the paper's 14×14 map, are one pool; others are some of
        # those at every pixel.
        steps = [at[1] if 0 < 3 * at[1] == at[3] else 1 for at in offsets]
        x = F.avg_pool2d(x, windows, steps).permute(0, 2, 3, 1)  # as it lies in memory
        for axis, at in zip((1, 2), offsets, strict=True):
            if x.shape[axis] != 4:
                lines = x.unbind(axis)
                x = torch.stack([lines[each] for each in at], axis)
        return x.permute(0, 3, 1, 2)


class LinearUnit(nn.Linear):
    """A fully connected layer and its ReLU."""

    def __init__(self, in_features: int, out_features: int, device: str | None = None) -> None:
        super().__init__(in_features, out_features, device=device)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(super().forward(x))  # type: ignore[no-any-return]


class AuxiliaryHead(nn.Module):
    """Section 5's auxiliary classifier: (N, C, H, W) -> (N, classes) logits."""

    def __init__(self, in_channels: int, classes: int, network: table.Variant) -> None:
        super().__init__()
        adaptive = network.aux_pool == "adaptive"
        self.pool = nn.AdaptiveAvgPool2d(4) if adaptive else HeadPool()
        self.conv = ConvUnit(in_channels, network.head_filters, 1, 1, network)
        self.fc = skip_init_layer(LinearUnit, network.head_filters * 16, network.head_units)
        self.dropout = nn.Dropout(network.head_dropout)
        self.classifier = skip_init_layer(nn.Linear, network.head_units, classes)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.fc(self.conv(self.pool(x)).flatten(1))
        return self.classifier(self.dropout(hidden))  # type: ignore[no-any-return]


# The modules whose mean activations reveal out-of-distribution images: a middle one, where
# noise differs, and the last but one, before every image looks like a class (docs/calibration.md).
OOD_LAYERS = ("inception_4a", "inception_5a")


class GoogLeNet(nn.Module):
    """The network: (N, in_channels, H, W) -> (N, classes) logits, in train and eval mode alike.

    `variant` is a name of `table.VARIANTS` or a value of one's own; `classes` defaults to the
    variant's; `width` multiplies every number of filters.  Every weight is drawn from
    `generator` (PyTorch's global one if None) in the manner that `initialization` names,
    or left undrawn for None, to be loaded.
    Raises UsageError for a variant, width or initialization that does not exist.
    """

    def __init__(
        self,
        variant: str | table.Variant = "bn",
        classes: int | None = None,
        *,
        in_channels: int = 3,
        width: float = 1.0,
        with_aux_heads: bool = True,
        initialization: str | None = "he",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        named = table.variant(variant) if isinstance(variant, str) else variant
        self.variant = network = named.scaled(width)
        self.classes = network.classes if classes is None else classes
        self.in_channels, self.width = in_channels, width
        self.trunk = tuple(stage.name for stage in network.trunk())
        channels, widths = in_channels, []
        for stage in network.trunk():
            layer, channels = build_stage(stage, channels, network)
            self.add_module(stage.name, layer)
            widths += [channels] if stage.name in OOD_LAYERS else []
            row = stage.name.removeprefix("inception_")
            if with_aux_heads and network.aux_pool and row in table.HEADS:
                self.add_module(f"aux_{row}", AuxiliaryHead(channels, self.classes, network))
        self.ood_widths = tuple(widths)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(network.dropout)
        self.classifier = skip_init_layer(nn.Linear, channels, self.classes)
        initialize(self, initialization, generator)

    @property
    def name(self) -> str:
        """The variant's name, or its table of widths: what `table.variant` takes."""
        return self.variant.key

    @property
    def aux_heads(self) -> tuple[str, ...]:
        """The auxiliary heads that this network has, by the module that feeds them."""
        return tuple(row for row in table.HEADS if f"aux_{row}" in self._modules)

    def drop_heads(self) -> None:
        """Remove the auxiliary heads, which inference does not need (section 5)."""
        for row in self.aux_heads:
            delattr(self, f"aux_{row}")

    def features(self, x: Tensor) -> Tensor:
        """The map under the final average pool: (N, in_channels, H, W) -> (N, 1024, h, w)."""
        for name in self.trunk:
            x = getattr(self, name)(x)
        return x

    def features_and_summary(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`features`, and the mean of each map of the modules OOD_LAYERS, side by side.

        The means are (N, 512 + 832) float32; `ood_widths` has the parts' widths.
        """
        means = []
        for name in self.trunk:
            x = getattr(self, name)(x)
            if name in OOD_LAYERS:
                means.append(x.mean((2, 3), dtype=torch.float32))
        return x, torch.cat(means, 1)

    def pool(self, features: Tensor) -> Tensor:
        """What the classifier sees of a map: (N, 1024, h, w) -> (N, 1024)."""
        return self.avgpool(features).flatten(1)  # type: ignore[no-any-return]

    def classify(self, features: Tensor) -> Tensor:
        """Average pool, dropout, linear: (N, 1024, h, w) -> (N, classes) logits."""
        return self.classifier(self.dropout(self.pool(features)))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.features(x))

    def forward_heads(self, x: Tensor) -> dict[str, Tensor]:
        """The logits of every classifier: "main", and "4a" and "4d" where the network has them."""
        logits = {}
        for name in self.trunk:
            x = getattr(self, name)(x)
            row = name.removeprefix("inception_")
            if row in self.aux_heads:
                logits[row] = getattr(self, f"aux_{row}")(x)
        return {"main": self.classify(x)} | logits

    def tap(self, *names: str) -> AbstractContextManager[dict[str, Tensor]]:
        """Read activations by name while the context lasts: see `taps.tap`."""
        return tap(self, *names)

    def tap_names(self) -> list[str]:
        """Every name that `tap` takes, in the network's order."""
        return tap_names(self)


def build_stage(stage: table.Stage, channels: int, network: table.Variant) -> tuple[nn.Module, int]:
    """The layer of one stage and the number of channels that it puts out."""
    match stage:
        case table.Conv(name, filters, kernel, stride):
            separable = name == "conv1" and network.stem == "separable"
            unit = SeparableUnit if separable else ConvUnit
            return unit(channels, filters, kernel, stride, network), filters
        case table.MaxPool(_, kernel, stride):
            return MaxPool(kernel, stride, network.padding), channels
        case table.Normalize():
            assert isinstance(network.norm, table.LRN)
            return LocalResponseNorm(network.norm), channels
        case table.InceptionModule(_, widths):
            module = Inception(channels, widths, network)
            return module, network.module_channels(widths, channels)
