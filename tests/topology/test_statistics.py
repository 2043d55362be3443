"""Correlations at offsets, against numpy on small maps, and what pooling adds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from googlenet.topology.statistics import (
    OFFSETS,
    REACH,
    RINGS,
    SIDE,
    Accumulator,
    Correlations,
    energy_by_ring,
    null_model,
    null_models,
)


def random_maps(images: int = 40, units: int = 5, side: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(units, units, generator=generator)
    maps = torch.randn(images, units, side, side, generator=generator)
    smooth = F.avg_pool2d(maps, 3, stride=1, padding=1)
    return torch.einsum("cd,ndhw->nchw", mix, smooth).relu()


def accumulated(maps: torch.Tensor, chunk: int = 4) -> Accumulator:
    sums = Accumulator(*maps.shape[1:])
    for part in torch.split(maps, chunk):
        sums.add(part)
    return sums


def expected(maps: NDArray[np.float64], dy: int, dx: int, c: int, d: int) -> float:
    """numpy's correlation of unit c with unit d moved, means of places removed."""
    centered = maps - maps.mean(0)
    pairs = [
        (centered[:, c, y, x], centered[:, d, y + dy, x + dx])
        for y in range(maps.shape[2])
        for x in range(maps.shape[3])
        if 0 <= y + dy < maps.shape[2] and 0 <= x + dx < maps.shape[3]
    ]
    a, b = (np.concatenate(values) for values in zip(*pairs, strict=True))
    return float(np.corrcoef(a, b)[0, 1])


@pytest.mark.parametrize("offset", [(0, 0), (0, 1), (1, -2), (2, 2), (-1, 0), (-2, 1)])
def test_correlations_are_numpy_s(offset: tuple[int, int]) -> None:
    maps = random_maps()
    r = accumulated(maps).correlations()
    dy, dx = offset
    at = (dy + REACH) * SIDE + dx + REACH
    for c, d in [(0, 0), (0, 1), (3, 2)]:
        wanted = expected(maps.double().numpy(), dy, dx, c, d)
        assert r[at, c, d] == pytest.approx(wanted, abs=2e-6)


def test_offsets_are_half_of_the_window() -> None:
    both = {*OFFSETS, *((-dy, -dx) for dy, dx in OFFSETS)}
    assert len(OFFSETS) == 13
    assert len(both) == SIDE**2
    assert [int((ring == RINGS).sum()) for ring in range(3)] == [1, 8, 16]


def test_a_unit_that_never_varies_correlates_with_none() -> None:
    maps = random_maps()
    maps[:, 2] = 0
    r = accumulated(maps).correlations()
    assert np.isfinite(r).all()
    assert not r[:, 2].any()
    assert not r[:, :, 2].any()


def test_what_pooling_adds_is_what_least_squares_leaves() -> None:
    maps = random_maps(200)
    pooled = F.max_pool2d(maps, 3, stride=1, padding=1)
    x, y = ((m - m.mean(0)).transpose(0, 1).flatten(1).T.double().numpy() for m in (maps, pooled))
    left = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    scale = np.sqrt((y**2).sum(0))
    residual = accumulated(maps).pool_residual()
    np.testing.assert_allclose(residual, left.T @ left / np.outer(scale, scale), atol=1e-4)


def test_energy_of_two_halves_has_no_bias() -> None:
    """Of independent noise the square of R is its noise; the product of halves is near zero."""
    generator = torch.Generator().manual_seed(1)
    r = [
        accumulated(torch.randn(40, 30, 5, 5, generator=generator)).correlations() for _ in range(2)
    ]
    biased = energy_by_ring(r[0], r[0])
    for ring in range(3):
        assert abs(energy_by_ring(*r)[ring]) < 0.1 * biased[ring]


def test_the_null_model_is_r_at_the_same_place_and_falls_with_distance() -> None:
    r = accumulated(random_maps(300)).correlations()
    center = len(r) // 2
    same = np.full(r.shape[1:], center)
    np.testing.assert_allclose(null_model(r, same), r[center], atol=1e-6)
    energy = energy_by_ring(null_models(r), null_models(r))
    assert energy[0] > energy[1] > energy[2] >= 0


def test_noise_is_the_difference_of_the_halves() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(-0.5, 0.5, (25, 40, 40))
    halves = [truth + rng.normal(0, 0.02, truth.shape) for _ in range(2)]
    found = Correlations(halves[0], halves[1], np.eye(40), 100)
    assert found.noise == pytest.approx(0.02, rel=0.05)
