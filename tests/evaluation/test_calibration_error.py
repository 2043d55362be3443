"""Calibration error against torchmetrics, the temperature against SciPy's minimizer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from torchmetrics.functional.classification import multiclass_calibration_error

from googlenet.evaluation.calibration_error import (
    BINS,
    TEMPERATURES,
    cross_fit,
    expected_calibration_error,
    fit_temperature,
    reliability,
    softmax,
    two_folds,
)

Arrays = tuple[np.ndarray, np.ndarray]


def drawn(photos: int, classes: int, seed: int, scale: float = 1.0) -> Arrays:
    """Logits, and labels drawn from exactly the probabilities that logits/scale mean."""
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=(photos, classes))
    return z * scale, (z + rng.gumbel(size=z.shape)).argmax(1)  # Gumbel's way to draw


@given(st.integers(1, 200), st.integers(2, 8), st.integers(0, 99), st.sampled_from([0.3, 1.0, 3.0]))
def test_error_is_torchmetrics(photos: int, classes: int, seed: int, scale: float) -> None:
    z, labels = drawn(photos, classes, seed, scale)
    p = softmax(z)
    expected = multiclass_calibration_error(
        torch.from_numpy(p), torch.from_numpy(labels), classes, n_bins=BINS, norm="l1"
    )
    ours = expected_calibration_error(p.max(1), (p.argmax(1) == labels).astype(float))
    assert ours == pytest.approx(float(expected), abs=1e-6)


def test_bins_have_their_upper_ends() -> None:
    confidence = np.array([0.0, 1 / 15, 1 / 15 + 1e-9, 0.5, 1.0])
    bins = reliability(confidence, np.array([0, 1, 1, 0, 1]))
    assert [(row["low"] * 15, row["photos"]) for row in bins] == [
        (0, 2), (1, 1), (pytest.approx(7), 1), (pytest.approx(14), 1),
    ]  # fmt: skip
    assert (bins[0]["confidence"], bins[0]["accuracy"]) == (pytest.approx(1 / 30), 0.5)


def test_error_is_the_mean_distance_in_the_bins() -> None:
    z, labels = drawn(500, 5, 3, 2.0)
    p = softmax(z)
    bins = reliability(p.max(1), (p.argmax(1) == labels).astype(float))
    mean = sum(row["photos"] * abs(row["confidence"] - row["accuracy"]) for row in bins) / 500
    ours = expected_calibration_error(p.max(1), (p.argmax(1) == labels).astype(float))
    assert ours == pytest.approx(mean)


@given(st.integers(2, 150), st.integers(2, 8), st.integers(0, 99), st.sampled_from([0.2, 1.0, 5.0]))
def test_temperature_is_the_minimum(photos: int, classes: int, seed: int, scale: float) -> None:
    """SciPy minimizes the same loss, written as PyTorch's cross entropy of smoothed targets."""
    z, labels = drawn(photos, classes, seed, scale)
    share = 1 / (photos + 1)

    def loss(log_temperature: float) -> float:
        logits = torch.from_numpy(z / np.exp(log_temperature))
        return float(
            torch.nn.functional.cross_entropy(
                logits, torch.from_numpy(labels), label_smoothing=share
            )
        )

    bounds = tuple(np.log(TEMPERATURES))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    ours = np.log(fit_temperature(z, labels))
    assert loss(ours) <= found.fun + 1e-9


@pytest.mark.parametrize("scale", [0.4, 1.0, 2.5])
def test_temperature_is_recovered(scale: float) -> None:
    z, labels = drawn(4000, 6, 1, scale)
    assert fit_temperature(z, labels) == pytest.approx(scale, rel=0.05)


def test_few_images_that_are_all_right_ask_for_no_certainty() -> None:
    z = np.array([[3.0, 0.0], [0.0, 2.0], [4.0, 1.0]])
    found = fit_temperature(z, np.array([0, 1, 0]))
    # One image in four is a coin's throw: seven of eight are right, and so say they.
    assert softmax(z / found).max(1).mean() == pytest.approx(7 / 8, abs=0.02)


def test_logits_that_say_nothing_take_an_end_of_the_range() -> None:
    for value in (0.0, 5.0):
        temperature = fit_temperature(np.full((4, 3), value), np.array([0, 1, 2, 0]))
        assert TEMPERATURES[0] <= temperature <= TEMPERATURES[1]


def test_images_are_judged_by_the_other_half_s_temperature() -> None:
    z, labels = drawn(301, 4, 5, 3.0)
    found = cross_fit(z, labels, seed=7)
    assert found.temperature == fit_temperature(z, labels)
    one, other = two_folds(301, seed=7)
    assert sorted([*one, *other]) == list(range(301))
    assert not np.array_equal(one, two_folds(301, seed=8)[0])
    for own, fitted_on in ((one, other), (other, one)):
        temperature = fit_temperature(z[fitted_on], labels[fitted_on])
        np.testing.assert_allclose(found.after[own], softmax(z[own] / temperature).max(1))
    np.testing.assert_allclose(found.before, softmax(z).max(1))
    correct = found.correct.astype(float)
    assert expected_calibration_error(found.after, correct) < expected_calibration_error(
        found.before, correct
    )


def test_single_image() -> None:
    found = cross_fit(np.array([[1.0, 0.0]]), np.array([0]))
    assert found.after.shape == (1,)
    assert found.temperature > 0
