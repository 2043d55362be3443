"""Which units of a map fire together, at the same place and up to two pixels apart.

For every offset within a 5×5 window the correlation of every pair of units over all places of all
images, for two halves of the images apart: what holds in both is not an accident.  The mean of each
unit at each place is subtracted, since padding alone makes units vary alike at the borders.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Floats = NDArray[np.floating]

REACH = 2  # pixels: the largest window is 5×5
SIDE = 2 * REACH + 1
# Half of the window; the other half is its transpose: R(−Δ)[c, d] = R(Δ)[d, c].
OFFSETS = [(dy, dx) for dy in range(REACH + 1) for dx in range(-REACH, REACH + 1)
           if dy > 0 or dx >= 0]  # fmt: skip
CENTER = OFFSETS.index((0, 0))
RINGS = np.maximum(*np.abs(np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1])).ravel()  # (25,)


class Accumulator:
    """Sums over images, in float64, of the float32 products of a map with itself, moved.

    Memory: 13 + 2 matrices of C×C and two maps, 120·C² bytes; 83 MB at 832 channels.
    """

    def __init__(self, channels: int, height: int, width: int) -> None:
        self.images = 0
        self.products = torch.zeros(len(OFFSETS), channels, channels, dtype=torch.float64)
        self.sums = torch.zeros(channels, height, width, dtype=torch.float64)
        self.squares = torch.zeros_like(self.sums)
        # Of the map pooled 3×3 with stride 1, as in a module's pool branch: with itself, with x.
        self.pooled = torch.zeros(2, channels, channels, dtype=torch.float64)
        self.pooled_sums = torch.zeros_like(self.sums)

    def add(self, maps: Tensor) -> None:
        """maps: (N, C, H, W) float32."""
        self.images += len(maps)
        wide = maps.transpose(0, 1).contiguous()  # (C, N, H, W)
        for products, offset in zip(self.products, OFFSETS, strict=True):
            products += product(*overlap(wide, offset))
        self.sums += maps.sum(0, dtype=torch.float64)
        self.squares += maps.square().sum(0, dtype=torch.float64)
        pooled = F.max_pool2d(maps, 3, stride=1, padding=1)
        self.pooled_sums += pooled.sum(0, dtype=torch.float64)
        pooled = pooled.transpose(0, 1).contiguous()
        self.pooled[0] += product(pooled, pooled)
        self.pooled[1] += product(pooled, wide)

    def correlations(self) -> Floats:
        """R: (25, C, C); R[Δ][c, d] is the correlation of unit c at p with unit d at p + Δ.

        Offsets are in reading order, `SIDE` a row.  A unit that never varies correlates with none.
        """
        n = max(1, self.images)
        mean, variance = self.sums / n, self.squares - self.sums.square() / n
        half = []
        for products, offset in zip(self.products, OFFSETS, strict=True):
            here, there = overlap(mean, offset)
            covariance = products - n * product(here, there)
            spread = [v.flatten(1).sum(1).clamp(min=0) for v in overlap(variance, offset)]
            scale = torch.outer(*spread).sqrt()
            alive = scale > 1e-12 * scale.max()
            half.append(torch.where(alive, covariance / scale, 0.0).clamp(-1, 1).float().numpy())
        whole = [matrix.T for matrix in half[:CENTER:-1]] + half
        return np.stack(whole)

    def pool_residual(self) -> Floats:
        """What the pooled map has that no linear function of the map at the same place has.

        (C, C): the covariance of what is left, relative to the pooled units' own variance.
        """
        n = max(1, self.images)
        mean, pooled_mean = self.sums / n, self.pooled_sums / n
        own = (self.products[CENTER] - n * product(mean, mean)).numpy()
        both = (self.pooled[0] - n * product(pooled_mean, pooled_mean)).numpy()
        cross = (self.pooled[1] - n * product(pooled_mean, mean)).numpy()
        alive = np.flatnonzero(np.diag(both) > 1e-12 * max(np.diag(both).max(), 1e-300))
        own, both, cross = (m[np.ix_(alive, alive)] for m in (own, both, cross))
        ridge = 1e-6 * np.trace(own) / max(1, len(own)) * np.eye(len(own))
        left = both - cross @ np.linalg.solve(own + ridge, cross.T)
        scale = np.sqrt(np.diag(both))
        result: Floats = left / np.outer(scale, scale)
        return result


def overlap(maps: Tensor, offset: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The two parts of (…, H, W) that lie on each other when one is moved by (dy ≥ 0, dx)."""
    dy, dx = offset
    height, width = maps.shape[-2:]
    left, right = max(0, -dx), width - max(0, dx)
    here = maps[..., : max(0, height - dy), left : max(left, right)]
    there = maps[..., dy:, left + dx : max(left, right) + dx]
    return here, there


def product(a: Tensor, b: Tensor) -> Tensor:
    """(C, …) and (C, …) -> (C, C): sums of products over all other axes."""
    return a.flatten(1) @ b.flatten(1).T


@dataclass(frozen=True)
class Correlations:
    """Of one map: R of two halves of the images, and what pooling adds.

    first, second: (25, C, C), of `Accumulator.correlations`.  residual: of all images.
    """

    first: Floats
    second: Floats
    residual: Floats
    images: int

    @cached_property
    def mean(self) -> Floats:
        return (self.first + self.second) / 2

    @cached_property
    def noise(self) -> float:
        """Standard error of R of a half, over pairs of different units and offsets."""
        apart = ~np.eye(self.first.shape[1], dtype=bool)
        variances = (
            [
                np.square(a - b, dtype=np.float64)[apart].mean()
                for a, b in zip(self.first, self.second, strict=True)
            ]
            if apart.any()
            else [0.0]
        )
        return float(np.sqrt(np.mean(variances) / 2))


def null_model(r: Floats, at: NDArray[np.int64]) -> Floats:
    """What overlapping receptive fields alone give: (C, C), each pair at its offset `at`.

    Two units that see the same pixels correlate at other offsets too, as far as each correlates
    with itself there: N(Δ)[c, d] = R(0)[c, d] · √(R(Δ)[c, c] · R(Δ)[d, d]).
    """
    own = np.sqrt(np.clip(np.diagonal(r, axis1=1, axis2=2), 0, 1))  # (25, C)
    units = np.arange(r.shape[1])
    result: Floats = r[len(r) // 2] * own[at, units[:, None]] * own[at, units[None, :]]
    return result


def energy_by_ring(a: Iterable[Floats], b: Iterable[Floats]) -> list[float]:
    """The mean of a·b over pairs of different units, for the offsets of each ring.

    a, b: a (C, C) matrix for each of the 25 offsets.  Of two halves of the images the product
    estimates R² without the bias that noise gives to a square.
    """
    means = []
    for x, y in zip(a, b, strict=True):
        pairs = max(1, len(x) * (len(x) - 1))
        means.append(float(np.vdot(x, y) - np.diag(x) @ np.diag(y)) / pairs)
    return [float(np.mean(np.array(means)[ring == RINGS])) for ring in range(REACH + 1)]


def null_models(r: Floats) -> Iterator[Floats]:
    """The null model at each offset in turn."""
    for at in range(len(r)):
        yield null_model(r, np.full(r.shape[1:], at))
