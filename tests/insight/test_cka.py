"""CKA against closed forms, matrices by hand, and the published formulas."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from googlenet.insight.cka import MinibatchCKA, centered_gram, linear_cka

Array = NDArray[np.float64]


def minibatch(x: Array, y: Array, batch: int) -> float:
    sums = MinibatchCKA(1, 1)
    for at in range(0, len(x), batch):
        part = slice(at, at + batch)
        sums.add([centered_gram(torch.from_numpy(x[part]))],
                 [centered_gram(torch.from_numpy(y[part]))])  # fmt: skip
    return float(sums.result()[0, 0])


def hsic_by_definition(k: Array, ell: Array) -> float:
    """Song et al. 2012, equation 4: the mean over all quadruples of different images."""
    n = len(k)
    total = sum(
        k[i, j] * (ell[i, j] + ell[q, r] - 2 * ell[i, q])
        for i, j, q, r in permutations(range(n), 4)
    )
    return float(total / (n * (n - 1) * (n - 2) * (n - 3)))


def test_hand_computed() -> None:
    x = np.array([[1.0], [-1], [0]])
    assert linear_cka(x, x) == pytest.approx(1)
    # Centered: (1, −1, 0) and (1, 1, −2) are orthogonal, the second column is not.
    y = np.array([[1.0, 1], [1, -1], [-2, 0]])
    assert linear_cka(x, y[:, :1]) == pytest.approx(0)
    # ‖YᵀX‖² = 0 + 4, ‖XᵀX‖ = 2, ‖YᵀY‖ = √(36 + 4)
    assert linear_cka(x, y) == pytest.approx(4 / (2 * np.sqrt(40)))


def test_hsic_is_the_mean_over_quadruples() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 3)) + 5, rng.normal(size=(6, 4)) - 2
    a, b = (centered_gram(torch.from_numpy(each)) for each in (x, y))
    assert (a * b).sum() / (6 * 3) == pytest.approx(hsic_by_definition(x @ x.T, y @ y.T), rel=1e-4)
    np.testing.assert_allclose(a.sum(0), 0, atol=1e-5)


def test_the_formula_of_hsic_1() -> None:
    """Nguyen et al. 2021, equation 3, written out."""
    rng = np.random.default_rng(1)
    n = 20
    x, y = rng.normal(size=(n, 5)), rng.normal(size=(n, 7))
    k, ell = x @ x.T, y @ y.T
    a, b = (centered_gram(torch.from_numpy(each)) for each in (x, y))
    np.fill_diagonal(k, 0)
    np.fill_diagonal(ell, 0)
    ones = np.ones(n)
    expected = (
        np.trace(k @ ell)
        + ones @ k @ ones * (ones @ ell @ ones) / ((n - 1) * (n - 2))
        - 2 / (n - 2) * (ones @ k @ ell @ ones)
    ) / (n * (n - 3))
    assert (a * b).sum() / (n * (n - 3)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("measure", [linear_cka, lambda x, y: minibatch(x, y, 50)])
def test_rotations_and_factors_change_nothing(measure: object) -> None:
    assert callable(measure)
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(100, 8)), rng.normal(size=(100, 6))
    y[:, :3] += x[:, :3]
    rotation = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    value = measure(x, y)
    assert 0.02 < value < 0.9
    assert measure(7.5 * x @ rotation + 3, y) == pytest.approx(value, rel=1e-4)
    assert measure(x, y) == pytest.approx(measure(y, x))
    assert measure(x, x) == pytest.approx(1)
    skewed = x * np.linspace(0.1, 5, 8)  # no isotropic scaling
    assert abs(measure(skewed, y) - value) > 0.02


def test_small_batches_of_many_dimensions_have_no_bias() -> None:
    """Unrelated layers: the plain formula says 0.9 of 10 images, the batches say 0."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2000, 200)), rng.normal(size=(2000, 200))
    assert linear_cka(x[:10], y[:10]) > 0.9
    assert abs(minibatch(x, y, 10)) < 0.02
    y = y + x
    assert minibatch(x, y, 20) == pytest.approx(linear_cka(x, y), abs=0.1)
    assert minibatch(x, y, 20) == pytest.approx(0.5, abs=0.03)  # of infinitely many images


def test_a_short_batch_and_a_constant_layer() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(43, 5))
    assert minibatch(x, np.roll(x, 2, 1), 20) == pytest.approx(1)  # the last has three images
    assert np.isnan(minibatch(x, np.ones((43, 5)), 20))
