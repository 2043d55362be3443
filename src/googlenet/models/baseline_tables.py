"""The networks that the paper is compared with, as data: no torch.

The module (`baselines.py`) and the cost (`cost.py`) of each are both derived from these values.
Every layer with a fixed number of filters or units ends in a ReLU; the one whose number is that
of the classes gives the logits.  Max pools follow Caffe's rule, ceil mode without padding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

from googlenet.models.sides import pool_output
from googlenet.models.table import LRN, MaxPool, check_width
from googlenet.runtime.errors import UsageError


@dataclass(frozen=True)
class Conv:
    name: str
    filters: int | None  # None: as many as there are classes
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1


@dataclass(frozen=True)
class Linear:
    name: str
    units: int | None  # None: as many as there are classes


@dataclass(frozen=True)
class GlobalPool:
    """The average over the whole map."""

    name: str


@dataclass(frozen=True)
class Normalize:
    name: str
    norm: LRN


@dataclass(frozen=True)
class Dropout:
    name: str
    rate: float


Stage = Conv | Linear | MaxPool | GlobalPool | Normalize | Dropout


@dataclass(frozen=True)
class Architecture:
    """One compared network: its layers in order, and the input size for which it was published."""

    name: str
    source: str
    size: int
    stages: tuple[Stage, ...]
    in_channels: int = 3
    classes: int = 1000

    def scaled(self, width: float) -> Architecture:
        """The same network with every number of filters and units multiplied by `width`.

        Where convolutions are grouped, the numbers are rounded to multiples of the groups.
        """
        check_width(width)
        step = max(stage.groups for stage in self.stages if isinstance(stage, Conv))

        def times(stage: Stage) -> Stage:
            match stage:
                case Conv(_, int(filters)):
                    return replace(stage, filters=step * max(1, round(filters * width / step)))
                case Linear(_, int(units)):
                    return replace(stage, units=max(1, round(units * width)))
                case _:
                    return stage

        return replace(self, stages=tuple(map(times, self.stages)))

    def outputs(self, size: int, classes: int, in_channels: int) -> Iterator[tuple[int, int]]:
        """(channels, side of the feature map) after each stage, for images of `size` pixels."""
        channels, side = in_channels, size
        for stage in self.stages:
            match stage:
                case Conv(_, filters):
                    channels = classes if filters is None else filters
                case Linear(_, units):
                    channels = classes if units is None else units
            side = stage_output(stage, side)
            yield channels, side

    def fits(self, size: int) -> bool:
        """Whether every feature map has at least one pixel for images of `size` pixels."""
        return size > 0 and all(side > 0 for _, side in self.outputs(size, 1, 1))

    def check_size(self, size: int) -> None:
        """Raises UsageError, which names the smallest size that works, for a smaller one."""
        if not self.fits(size):
            smallest = next(side for side in count(1) if self.fits(side))
            raise UsageError(f"size must be at least {smallest} for {self.name}, got {size}")


def stage_output(stage: Stage, side: int) -> int:
    """Side of the map that a stage makes of a map of this side; below 1 where it does not fit."""
    match stage:
        case Conv():
            return (side + 2 * stage.padding - stage.kernel) // stage.stride + 1
        case MaxPool():
            return pool_output(side, stage.kernel, stage.stride, "symmetric")
        case Linear() | GlobalPool():
            return 1 if side > 0 else 0
        case _:
            return side


LENET_5 = Architecture(
    name="lenet5",
    source="LeCun et al. 1998, Gradient-based learning applied to document recognition, "
    "section II.B, in its common modern form: ReLU, max pooling, every map connected",
    size=32,
    in_channels=1,
    classes=10,
    stages=(
        Conv("conv1", 6, 5),
        MaxPool("pool1", 2),
        Conv("conv2", 16, 5),
        MaxPool("pool2", 2),
        Linear("fc3", 120),
        Linear("fc4", 84),
        Dropout("dropout", 0.0),  # none as published; a recipe may want some
        Linear("classifier", None),
    ),
)

CAFFE_LRN = LRN(size=5, alpha=1e-4, beta=0.75, k=1.0)
ALEXNET = Architecture(
    name="alexnet",
    source="Krizhevsky et al. 2012, ImageNet classification with deep convolutional neural "
    "networks, section 3.5, as released in Caffe (bvlc_alexnet): two groups, 227×227",
    size=227,
    stages=(
        Conv("conv1", 96, 11, stride=4),
        Normalize("norm1", CAFFE_LRN),
        MaxPool("pool1", 3),
        Conv("conv2", 256, 5, padding=2, groups=2),
        Normalize("norm2", CAFFE_LRN),
        MaxPool("pool2", 3),
        Conv("conv3", 384, 3, padding=1),
        Conv("conv4", 384, 3, padding=1, groups=2),
        Conv("conv5", 256, 3, padding=1, groups=2),
        MaxPool("pool5", 3),
        Linear("fc6", 4096),
        Dropout("drop6", 0.5),
        Linear("fc7", 4096),
        Dropout("dropout", 0.5),
        Linear("classifier", None),
    ),
)

# Without the released model's ReLU over the maps of the classes, which changes no cost: classes
# whose maps begin below zero would never learn.
NIN = Architecture(
    name="nin",
    source="Lin et al. 2013, Network In Network, arXiv 1312.4400, as released in Caffe for "
    "ImageNet (nin_imagenet)",
    size=224,
    stages=(
        Conv("conv1", 96, 11, stride=4),
        Conv("cccp1", 96, 1),
        Conv("cccp2", 96, 1),
        MaxPool("pool1", 3),
        Conv("conv2", 256, 5, padding=2),
        Conv("cccp3", 256, 1),
        Conv("cccp4", 256, 1),
        MaxPool("pool2", 3),
        Conv("conv3", 384, 3, padding=1),
        Conv("cccp5", 384, 1),
        Conv("cccp6", 384, 1),
        MaxPool("pool3", 3),
        Dropout("dropout", 0.5),
        Conv("conv4", 1024, 3, padding=1),
        Conv("cccp7", 1024, 1),
        Conv("classifier", None, 1),
        GlobalPool("avgpool"),
    ),
)

VGG_16 = Architecture(
    name="vgg16",
    source="Simonyan and Zisserman 2014, Very deep convolutional networks for large-scale image "
    "recognition, arXiv 1409.1556, table 1, configuration D",
    size=224,
    stages=(
        Conv("conv1_1", 64, 3, padding=1),
        Conv("conv1_2", 64, 3, padding=1),
        MaxPool("pool1", 2),
        Conv("conv2_1", 128, 3, padding=1),
        Conv("conv2_2", 128, 3, padding=1),
        MaxPool("pool2", 2),
        Conv("conv3_1", 256, 3, padding=1),
        Conv("conv3_2", 256, 3, padding=1),
        Conv("conv3_3", 256, 3, padding=1),
        MaxPool("pool3", 2),
        Conv("conv4_1", 512, 3, padding=1),
        Conv("conv4_2", 512, 3, padding=1),
        Conv("conv4_3", 512, 3, padding=1),
        MaxPool("pool4", 2),
        Conv("conv5_1", 512, 3, padding=1),
        Conv("conv5_2", 512, 3, padding=1),
        Conv("conv5_3", 512, 3, padding=1),
        MaxPool("pool5", 2),
        Linear("fc6", 4096),
        Dropout("drop6", 0.5),
        Linear("fc7", 4096),
        Dropout("dropout", 0.5),
        Linear("classifier", None),
    ),
)

BASELINES = {network.name: network for network in (LENET_5, ALEXNET, NIN, VGG_16)}


def architecture(name: str) -> Architecture:
    """The compared network of that name.  Raises UsageError, which lists the names there are."""
    try:
        return BASELINES[name]
    except KeyError:
        raise UsageError(f"name must be one of {', '.join(BASELINES)}, got {name!r}") from None
