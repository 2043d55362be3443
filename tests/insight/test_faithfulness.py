"""Curves of networks whose answer is known, ranks by SciPy, shuffled weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from googlenet.insight.explain import Explainer
from googlenet.insight.faithfulness import (
    blurred,
    center_map,
    curves,
    random_map,
    rank_correlation,
    shuffled,
)
from tests.fixtures import tiny_classifier

SIDE = 16


def quarter(x: Tensor) -> Tensor:
    """A network that only looks at the upper left quarter: its share of ones."""
    return x[:, 0, : SIDE // 2, : SIDE // 2].mean((1, 2))


def test_curves_of_a_network_that_looks_at_a_quarter() -> None:
    x = torch.zeros(1, 1, SIDE, SIDE)
    x[..., : SIDE // 2, : SIDE // 2] = 1
    right = x[0, 0].numpy()
    found = curves(quarter, x, right, steps=16)
    # All of it appears, and is covered, within the first quarter of the steps.
    assert found.deletion == pytest.approx(1 / 8, abs=0.01)
    assert found.insertion > 0.85
    wrong = curves(quarter, x, 1 - right, steps=16)
    assert wrong.deletion == pytest.approx(7 / 8, abs=0.01)
    assert wrong.insertion < found.insertion
    everything = curves(quarter, x, np.ones_like(right), steps=4)
    assert everything.insertion <= 1


def test_the_ends_are_the_blur_and_the_image() -> None:
    seen: list[Tensor] = []

    def note(x: Tensor) -> Tensor:
        seen.append(x)
        return torch.zeros(len(x))

    x = torch.randn(1, 3, SIDE, SIDE)
    curves(note, x, center_map(), steps=3)
    images = torch.cat(seen)
    insertion, deletion = images[:4], images[4:]
    torch.testing.assert_close(insertion[0], blurred(x)[0])
    torch.testing.assert_close(insertion[-1], x[0])
    torch.testing.assert_close(deletion[0], x[0])
    assert not deletion[-1].any()


def test_rank_correlations_are_scipy_s() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    first = rng.integers(0, 5, (8, 9)).astype(np.float32)
    second = (first + rng.normal(0, 2, first.shape)).astype(np.float32)
    expected = stats.spearmanr(first.ravel(), second.ravel()).statistic
    assert rank_correlation(first, second) == pytest.approx(expected)
    assert rank_correlation(first, np.zeros_like(first)) == 0


def test_shuffled_weights_are_the_same_values_elsewhere() -> None:
    network = Explainer(tiny_classifier()).network
    before = {name: each.clone() for name, each in network.named_parameters()}
    shuffled(network, 0)
    for name, each in network.named_parameters():
        assert torch.equal(each.flatten().sort()[0], before[name].flatten().sort()[0])
    weight = "classifier.weight"
    assert not torch.equal(network.get_parameter(weight), before[weight])


def test_trivial_maps() -> None:
    assert center_map(9).argmax() == 4 * 9 + 4
    assert np.array_equal(random_map(1), random_map(1))
    assert not np.array_equal(random_map(1), random_map(2))
