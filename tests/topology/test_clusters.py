"""What was planted is found: sparse layers, shifts of one and two pixels, and nothing in noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from torch.nn import functional as F

from googlenet.topology.clusters import by_size, find_clusters, joined, votes_of_halves
from googlenet.topology.statistics import Accumulator, Correlations

IMAGES, SIDE = 120, 9


def correlations(maps: torch.Tensor) -> Correlations:
    halves = []
    for half in (maps[::2], maps[1::2]):
        sums = Accumulator(*maps.shape[1:])
        sums.add(half)
        halves.append(sums.correlations())
    return Correlations(halves[0], halves[1], np.eye(maps.shape[1]), len(maps))


def noise(units: int, seed: int = 0, smooth: bool = False, pad: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    side = SIDE + 2 * pad + 2 * smooth
    maps = torch.randn(IMAGES, units, side, side, generator=generator)
    return F.avg_pool2d(maps, 3, stride=1) if smooth else maps


def test_a_planted_sparse_layer_is_recovered() -> None:
    """Arora et al.'s setting: each unit of a group follows the same few hidden units."""
    groups = np.repeat(np.arange(10), 6)
    hidden = noise(10, smooth=True)
    maps = (hidden[:, groups] + 0.7 * noise(60, 1, smooth=True)).relu()
    found = correlations(maps)
    clusters = find_clusters(found, joined(*votes_of_halves(found)))
    assert adjusted_rand_score(groups, clusters.labels) >= 0.95
    assert clusters.stability >= 0.95
    assert set(clusters.extents) == {0}


@pytest.mark.parametrize("shift", [1, 2])
@pytest.mark.parametrize("smooth", [False, True])
def test_planted_shifts_get_the_window_that_they_need(shift: int, smooth: bool) -> None:
    """Half of the units are the other half, moved in some direction, and noise."""
    base = noise(20, smooth=smooth, pad=2)
    moves = [(shift, 0), (-shift, 0), (0, shift), (0, -shift), (shift, -shift)]
    moved = [
        torch.roll(base[:, unit], moves[unit % len(moves)], (1, 2))[:, 2:-2, 2:-2]
        for unit in range(20)
    ]
    maps = torch.cat([base[:, :, 2:-2, 2:-2], torch.stack(moved, 1)], 1)
    maps += 0.3 * torch.randn(maps.shape, generator=torch.Generator().manual_seed(5))
    shares = joined(*votes_of_halves(correlations(maps))).shares()
    assert shares[shift] >= 0.95


def test_smoothed_noise_needs_1x1() -> None:
    shares = joined(*votes_of_halves(correlations(noise(60, smooth=True)))).shares()
    assert shares[0] >= 0.98


def test_overlapping_receptive_fields_alone_need_1x1() -> None:
    """Units of one place that are mixed and then smoothed correlate at other offsets, too."""
    mix = torch.randn(20, 6, generator=torch.Generator().manual_seed(2))
    maps = torch.einsum("cd,ndhw->nchw", mix, noise(6, smooth=True))
    shares = joined(*votes_of_halves(correlations(maps))).shares()
    assert shares[0] >= 0.98


def test_clusters_are_numbered_by_size() -> None:
    labels = np.array([7, 7, 2, 3, 3, 3, 5, 5])
    assert by_size(labels).tolist() == [1, 1, 3, 0, 0, 0, 2, 2]
