"""Circuits: the weights between the units of successive modules, as one convolution.

Between two Inception modules lie reductions, which have no meaning of their own, batch
normalization, and sometimes a pool.  What is linear of all this is one convolution, whose
weights say which units of the module before excite and inhibit a unit, and from where: the
expanded weights of Voss et al. 2021, "Visualizing Weights", doi 10.23915/distill.00024.007.

What is not linear is replaced:

* a ReLU by the identity, biases by nothing, batch normalization by its factor in evaluation mode;
* a max pool by the average of its window, of the same size, stride and place;
* local response normalization by its factor at zero, k^−beta.

The kernels have the resolution of the source: between modules with a 3×3/2 pool between them they
are 11×11.  As one convolution has no border between its parts, both agree where no window of
theirs meets the border of the map, and everywhere between modules without a pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from googlenet.insight.layers import find_layer
from googlenet.insight.linear_map import LinearMap, before, branch_slice, is_reduction, last_map
from googlenet.models.googlenet import ConvUnit, GoogLeNet, Inception, SeparableUnit
from googlenet.models.registry import Network
from googlenet.runtime.errors import UsageError

IMAGE = "image"  # the source of the first convolution


class Connection(NamedTuple):
    """A unit at the other end of expanded weights, and how strong they are.

    strength: the root of the sum of the kernel's squares, with the sign of its sum.
    """

    unit: int
    strength: float


def expanded_weights(
    network: Network, source: str, target: str, units: Sequence[int] | None = None
) -> NDArray[np.float32]:
    """What each unit of `target`, or each of `units`, gets of each of `source`: (out, in, kh, kw).

    source: a module, one of its branches ("inception_4a.5x5"), a convolution, or "image" for the
    first.  target: a module that comes next (only pools, normalization and a reduction may lie
    between), one of its branches or reductions, or "classifier", whose average pool is left out.
    Raises UsageError for layers that do not follow each other.
    """
    return linear_map(network, source, target, units).weight.numpy()


def strongest(
    weights: NDArray[np.floating], unit: int, top: int = 10, *, of: str = "sources"
) -> list[Connection]:
    """The `top` units that are most strongly connected with one, the strongest first.

    weights: (out, in, kh, kw).  of: "sources" of the unit of the target, or "targets" of the
    unit of the source.
    """
    kernels = weights[unit] if of == "sources" else weights[:, unit]
    strengths = np.sqrt(np.square(kernels, dtype=np.float64).sum((1, 2)))
    signs = np.where(kernels.sum((1, 2)) < 0, -1, 1)
    order = np.argsort(-strengths, kind="stable")[:top]
    return [Connection(int(at), float(signs[at] * strengths[at])) for at in order]


def sources_of(network: Network, target: str) -> tuple[str, ...]:
    """The layers that feed a target, nearest first: pools and reductions alone lie between."""
    trunk = trunk_of(network)
    stage = find_layer(network, target.removesuffix(":pre")).partition(".")[0]
    if stage != "classifier" and stage not in trunk:
        raise UsageError(f"target must be a layer of the trunk, got {target!r}")
    found = []
    for name in reversed(trunk if stage == "classifier" else trunk[: trunk.index(stage)]):
        module = getattr(network, name)
        if isinstance(module, ConvUnit | SeparableUnit | Inception):
            found.append(name)
            if not is_reduction(module):
                return tuple(found)
    return (*found, IMAGE)


@torch.no_grad()
def linear_map(
    network: Network, source: str, target: str, units: Sequence[int] | None = None
) -> LinearMap:
    """`expanded_weights` with the stride and the offset of the convolution."""
    trunk = trunk_of(network)
    stage, _, branch = find_layer(network, target.removesuffix(":pre")).partition(".")
    source = source if source == IMAGE else find_layer(network, source)
    first, _, source_branch = source.partition(".")
    sources = sources_of(network, target)
    if first not in sources:
        raise UsageError(
            f"source must be {' or '.join(sources)}, which {target} reads, got {source!r}"
        )
    begin = 0 if first == IMAGE else trunk.index(first) + 1
    end = len(trunk) if stage == "classifier" else trunk.index(stage)
    result = last_map(getattr(network, stage), branch)
    if units is not None:
        result = result._replace(weight=result.weight[list(units)])
    for name in reversed(trunk[begin:end]):
        result = before(getattr(network, name), result)
    if source_branch:
        kept = branch_slice(getattr(network, first), source_branch)
        result = result._replace(weight=result.weight[:, kept])
    return result


def trunk_of(network: Network) -> tuple[str, ...]:
    """Raises UsageError for a network without Inception modules."""
    if not isinstance(network, GoogLeNet):
        raise UsageError(f"circuits are of Inception networks, got one of variant {network.name}")
    return network.trunk


class Level(NamedTuple):
    """The strongest sources of one unit, the strongest first, and their kernels (n, kh, kw)."""

    target: str
    unit: int
    source: str
    connections: list[Connection]
    kernels: NDArray[np.float32]


def circuit(network: Network, target: str, unit: int, top: int = 8) -> list[Level]:
    """The strongest sources of a unit, then those of the strongest of them that excites it,
    and so on to the image, whose channels are in their own order.
    """
    levels: list[Level] = []
    while target != IMAGE:
        source = sources_of(network, target)[-1]
        weights = expanded_weights(network, source, target, [unit])
        order = strongest(weights, 0, weights.shape[1])
        exciting = next((each for each in order if each.strength > 0), order[0])
        found = sorted(order) if source == IMAGE else order[:top]
        if exciting not in found:
            found[-1] = exciting
        kernels = weights[0, [each.unit for each in found]]
        levels.append(Level(target, unit, source, found, kernels))
        target, unit = source, exciting.unit
    return levels
