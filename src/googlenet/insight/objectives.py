"""What an image is to excite: values that add, and multiply by numbers.

    channel(network, "inception_4b", 300) - 0.5 * channel(network, "inception_4b", 301)

As in lucid (Olah et al. 2017, "Feature Visualization", distill.pub).  Units are taken before their
ReLU, so that a unit that is silent on the first image still has a gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from googlenet.models.googlenet import BRANCHES, Inception
from googlenet.models.registry import Network
from googlenet.models.taps import relu_of
from googlenet.runtime.errors import UsageError

Activations = Mapping[str, Tensor]


@dataclass(frozen=True)
class Objective:
    """A score per image, (N,), from the activations that `taps` name."""

    taps: frozenset[str]
    score: Callable[[Activations], Tensor]

    def __add__(self, other: Objective) -> Objective:
        return Objective(self.taps | other.taps, lambda a: self.score(a) + other.score(a))

    def __mul__(self, factor: float) -> Objective:
        return Objective(self.taps, lambda a: factor * self.score(a))

    __rmul__ = __mul__

    def __neg__(self) -> Objective:
        return -1 * self

    def __sub__(self, other: Objective) -> Objective:
        return self + -1 * other


def channel(network: Network, layer: str, unit: int) -> Objective:
    """The mean of a unit's map."""
    return of_map(network, layer, unit, lambda maps: maps.reshape(len(maps), -1).mean(1))


def neuron(network: Network, layer: str, unit: int) -> Objective:
    """A unit at the center of its map."""

    def center(maps: Tensor) -> Tensor:
        return maps if maps.ndim == 1 else maps[:, maps.shape[1] // 2, maps.shape[2] // 2]

    return of_map(network, layer, unit, center)


def of_map(network: Network, layer: str, unit: int, score: Callable[[Tensor], Tensor]) -> Objective:
    """A score of a unit's map (N, h, w), or of its value (N,) in a layer without places."""
    tap, index = locate(network, layer, unit)
    return Objective(frozenset({tap}), lambda a: score(a[tap][:, index]))


def direction(network: Network, layer: str, vector: Tensor) -> Objective:
    """The mean over places of the product with a vector of the layer's units."""
    parts = locate_all(network, layer)
    if len(vector) != sum(width for _, width in parts):
        raise UsageError(
            f"a direction in {layer} must have {sum(width for _, width in parts)} numbers, "
            f"got {len(vector)}"
        )

    def score(activations: Activations) -> Tensor:
        maps = torch.cat([activations[tap] for tap, _ in parts], 1)
        return (maps.reshape(*maps.shape[:2], -1) * vector[:, None]).sum(1).mean(1)

    return Objective(frozenset(tap for tap, _ in parts), score)


def logit(index: int) -> Objective:
    """A class, before the softmax."""
    return Objective(frozenset({"classifier"}), lambda a: a["classifier"][:, index])


def energy(layer: str) -> Objective:
    """Half of the squared length of a layer's output: what DeepDream raises."""
    return Objective(frozenset({layer}), lambda a: a[layer].square().flatten(1).sum(1) / 2)


def diversity(layer: str) -> Objective:
    """How little the images of a batch are alike in style: minus the mean cosine of their Grams."""

    def score(activations: Activations) -> Tensor:
        maps = activations[layer].flatten(2)
        grams = F.normalize((maps @ maps.transpose(1, 2)).flatten(1), dim=1)
        alike = grams @ grams.T
        others = max(1, len(maps) - 1)
        return -(alike.sum(1) - alike.diagonal()) / others

    return Objective(frozenset({layer}), score)


def locate(network: Network, layer: str, unit: int) -> tuple[str, int]:
    """The tap and the index of a unit there, before its ReLU where it has one.

    A module's output is its branches side by side, each with a ReLU of its own.
    Raises UsageError for a unit that the layer does not have.
    """
    first = 0
    parts = locate_all(network, layer)
    for tap, width in parts:
        if first <= unit < first + width:
            return tap, unit - first
        first += width
    raise UsageError(f"a unit of {layer} must be from 0 to {first - 1}, got {unit}")


def locate_all(network: Network, layer: str) -> list[tuple[str, int]]:
    """The taps before the ReLUs of a layer, and their widths, in the order of its units.

    Raises UsageError for a layer without weights: a pool, a normalization.
    """
    module = network.get_submodule(layer)
    if not isinstance(module, Inception):
        width = width_of(module)
        if width is None:
            raise UsageError(
                "layer must have units of its own (a convolution, an Inception module, "
                f"a classifier), got {layer!r}"
            )
        return [(before_relu(network, layer), width)]
    convolutions = [name for name in BRANCHES if not isinstance(module[name], nn.Identity)]
    found = [
        (before_relu(network, f"{layer}.{name}"), width)
        for name in convolutions
        if (width := width_of(module[name])) is not None
    ]
    if len(found) < len(BRANCHES):  # Figure 2(a): the module's input, pooled
        inputs = next(c.in_channels for c in module.modules() if isinstance(c, nn.Conv2d))
        found.append((f"{layer}.pool", inputs))
    return found


def before_relu(network: Network, layer: str) -> str:
    return f"{layer}:pre" if relu_of(network.get_submodule(layer)) is not None else layer


def width_of(module: nn.Module) -> int | None:
    """Units of a convolution, a linear layer, or a unit around one; None for another module."""
    widths = [
        layer.out_channels if isinstance(layer, nn.Conv2d) else layer.out_features
        for layer in module.modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    return widths[-1] if widths else None


def unit_count(network: Network, layer: str) -> int:
    """How many units a layer has.  Raises UsageError for a layer without any, such as a pool."""
    return sum(width for _, width in locate_all(network, layer))


def one_each(objectives: Sequence[Objective]) -> Objective:
    """Each image of a batch has an objective of its own, in order."""

    def score(activations: Activations) -> Tensor:
        return torch.stack([one.score(activations)[at] for at, one in enumerate(objectives)])

    return Objective(frozenset().union(*(one.taps for one in objectives)), score)
