"""Whether a map says what the network looks at: tests of explanations.

Insertion and deletion curves (Petsiuk et al. 2018, arXiv 1806.07421) and the randomization test
(Adebayo et al. 2018, arXiv 1810.03292).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from googlenet.insight.image_map import Map
from googlenet.models.registry import Network

STEPS = 16  # of a curve, from nothing to everything
GRID = 7  # places per axis that random maps and the blur are made of
Probability = Callable[[Tensor], Tensor]  # (N, C, H, W) -> (N,)


class Curves(NamedTuple):
    """Areas under the curves of the class's probability, 0 to 1.

    insertion: as the image appears out of a blur, the map's highest places first; high is good.
    deletion: as they are covered with the mean color; low is good.
    """

    insertion: float
    deletion: float


def curves(probability: Probability, x: Tensor, ranking: Map, steps: int = STEPS) -> Curves:
    """x: (1, C, H, W) as the network takes it.  ranking: (h, w), resized to it."""
    level = F.interpolate(
        torch.from_numpy(ranking)[None, None].to(x.device), x.shape[2:], mode="bilinear"
    )
    places = level.flatten().argsort(descending=True, stable=True)
    rank = torch.empty_like(places)
    rank[places] = torch.arange(len(places), device=x.device)
    shares = torch.linspace(0, 1, steps + 1, device=x.device)
    first = rank.view(1, 1, *x.shape[2:]) < (shares * len(places)).round()[:, None, None, None]
    return Curves(*(
        area(torch.cat([probability(part) for part in torch.split(mixed, steps // 2 + 1)]))
        for mixed in (torch.where(first, x, blurred(x)), torch.where(first, 0.0, x))
    ))  # fmt: skip


def area(values: Tensor) -> float:
    """The area under values at equal distances, by the trapezoidal rule."""
    return float(torch.trapezoid(values.double()) / (len(values) - 1))


def blurred(x: Tensor) -> Tensor:
    """The same without anything smaller than a cell of a grid of GRID × GRID."""
    small = F.adaptive_avg_pool2d(x, GRID)
    return F.interpolate(small, x.shape[2:], mode="bilinear")


def center_map(size: int = 28) -> Map:
    """The higher, the nearer to the center."""
    axis = (np.arange(size) + 0.5) / size - 0.5
    return (-np.hypot(axis[:, None], axis)).astype(np.float32)


def random_map(seed: int) -> Map:
    return np.random.default_rng((seed, GRID)).random((GRID, GRID)).astype(np.float32)


def shuffled(network: Network, seed: int) -> None:
    """Replace each tensor of weights by a permutation of its own values."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
        parameter.data = parameter.data.flatten()[order].view_as(parameter)


def rank_correlation(first: Map, second: Map) -> float:
    """Spearman's: 1 for maps of the same order, 0 for unrelated ones and for constant maps."""
    a, b = (ranks(each.ravel()) for each in (first, second))
    if not a.std() or not b.std():
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def ranks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Each value's rank, the mean rank of equal ones."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2 - 1)[inverse.ravel()]
