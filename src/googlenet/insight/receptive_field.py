"""Which pixels of the image a place in a layer depends on, computed from the modules."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import Any, NamedTuple

from torch import nn

from googlenet.insight.layers import find_layer
from googlenet.models.googlenet import (
    BRANCHES,
    ConvUnit,
    Inception,
    MaxPool,
    SamePad,
    SeparableUnit,
)
from googlenet.models.lrn import LocalResponseNorm
from googlenet.models.registry import Network
from googlenet.runtime.errors import UsageError

SAME_PLACE = (LocalResponseNorm, nn.ReLU, nn.Identity, nn.Dropout)  # each place for itself


class ReceptiveField(NamedTuple):
    """Place i of a layer, in either direction, sees the pixels from offset + stride · i on.

    `size` of them; those outside the image are padding.  For TensorFlow's SAME padding the offset
    is that of images whose sides the network's stride divides, as 224.
    """

    size: int
    stride: int
    offset: int

    def grown(self, kernel: int, stride: int, padding: int) -> ReceptiveField:
        """The field of a window over places that have this one."""
        return ReceptiveField(
            self.size + (kernel - 1) * self.stride,
            self.stride * stride,
            self.offset - padding * self.stride,
        )


def receptive_field(network: Network, layer: str) -> ReceptiveField:
    """The receptive field of a layer, of the widest branch for an Inception module.

    Raises UsageError for a name that is not in the network's trunk, and for a layer that sees the
    whole image: a fully connected one, or the average pool.
    """
    path = find_layer(network, layer.removesuffix(":pre"))
    stage, _, rest = path.partition(".")
    if stage not in network.trunk:
        raise UsageError(f"{path} has no receptive field: it sees the whole image")
    before = network.trunk[: network.trunk.index(stage)]
    field = through((getattr(network, name) for name in before), ReceptiveField(1, 1, 0))
    module = getattr(network, stage)
    if isinstance(module, Inception) and rest:
        return through((module[name] for name in chain_to(rest)), field)
    return through((module,), field)


def chain_to(layer: str) -> tuple[str, ...]:
    """The layers of a module that lead to one of them, it included."""
    return next(c[: c.index(layer) + 1] for c in BRANCHES.values() if layer in c)


def through(modules: Iterable[nn.Module], field: ReceptiveField) -> ReceptiveField:
    """The field behind modules in a row."""
    return reduce(behind, modules, field)


def behind(field: ReceptiveField, module: nn.Module) -> ReceptiveField:
    match module:
        case SeparableUnit():
            return through((module.depthwise, module.pointwise), field)
        case ConvUnit():
            return window(field, module.conv, padding_before(module.pad))
        case MaxPool():
            return field.grown(module.kernel, module.stride, padding_before(module.pad))
        case nn.Conv2d() | nn.MaxPool2d():
            return window(field, module)
        case Inception():
            branches = [through((module[n] for n in chain), field) for chain in BRANCHES.values()]
            return max(branches)
        case nn.Sequential():
            return through(module, field)
        case _ if isinstance(module, SAME_PLACE):
            return field
    raise UsageError(f"{type(module).__name__} has no receptive field: it sees the whole image")


def window(
    field: ReceptiveField, layer: nn.Conv2d | nn.MaxPool2d, before: int = 0
) -> ReceptiveField:
    """Behind a layer of square windows, `before` more pixels of padding before them."""
    kernel, stride, padding = map(first, (layer.kernel_size, layer.stride, layer.padding))
    return field.grown(kernel, stride, padding + before)


def padding_before(pad: nn.Module) -> int:
    """The rows before the first of a map whose side the stride divides."""
    return max(0, pad.kernel - pad.stride) // 2 if isinstance(pad, SamePad) else 0


def first(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple) else value)
