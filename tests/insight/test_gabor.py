"""Gabor fits: a known function is found again; noise is not called one."""

from __future__ import annotations

import numpy as np
import pytest

from googlenet.insight.gabor import first_filters, fit_gabor
from googlenet.models.registry import build_network
from googlenet.runtime.errors import UsageError
from tests.insight.networks import lively


def gabor(orientation: float, frequency: float, along: float, across: float, phase: float,
          side: int = 7) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:  # fmt: skip
    """Written as in textbooks: rows go down, stripes turn counterclockwise."""
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    wave = np.radians(orientation - 90)  # the wave runs across the stripes
    u = columns * np.cos(wave) - rows * np.sin(wave)
    v = columns * np.sin(wave) + rows * np.cos(wave)
    bump = np.exp(-(u**2) / (2 * along**2) - v**2 / (2 * across**2))
    found = bump * np.cos(2 * np.pi * frequency * u + np.radians(phase))
    return np.asarray(found)


@pytest.mark.parametrize(
    ("orientation", "frequency", "along", "across", "phase", "side"),
    [(0, 0.2, 1.8, 2.2, 0, 7), (45, 0.15, 2, 1.6, 90, 7), (120, 0.3, 1.7, 2.5, -60, 11)],
)
def test_a_known_function_is_found(
    orientation: float, frequency: float, along: float, across: float, phase: float, side: int
) -> None:
    pattern = gabor(orientation, frequency, along, across, phase, side)
    color = np.array([0.6, -0.3, 0.1])
    found = fit_gabor(color[:, None, None] * pattern, 5)
    assert found.filter == 5
    assert found.r2 > 0.9999
    assert found.color_share == pytest.approx(1)
    assert found.frequency == pytest.approx(frequency, abs=2e-3)
    assert found.size == pytest.approx((along, across), rel=0.02)
    turned = (found.orientation - orientation + 90) % 180 - 90
    assert turned == pytest.approx(0, abs=0.5)
    np.testing.assert_allclose(found.function, color[:, None, None] * pattern, atol=1e-3)


def test_horizontal_stripes_have_orientation_0() -> None:
    rows = np.cos(2 * np.pi * 0.2 * np.arange(-3, 4))
    stripes = np.repeat(rows[:, None], 7, 1)[None]  # each row of one value
    assert fit_gabor(stripes).orientation % 180 == pytest.approx(0, abs=1)


def test_an_edge_has_the_frequency_of_its_spectrum_s_peak() -> None:
    """The derivative of a Gaussian peaks at 1 / (2πσ)."""
    y, x = np.mgrid[:7, :7] - 3.0
    found = fit_gabor((x * np.exp(-(x**2 + y**2) / 8))[None])
    assert found.r2 > 0.999
    assert found.frequency == pytest.approx(1 / (4 * np.pi), abs=1e-3)
    assert found.orientation == pytest.approx(90, abs=0.1)


def test_noise_is_no_gabor_function() -> None:
    rng = np.random.default_rng(1)
    fits = [fit_gabor(rng.normal(size=(3, 7, 7))) for _ in range(4)]
    assert np.mean([each.r2 for each in fits]) < 0.6
    assert all(0 < each.color_share < 0.8 for each in fits)


def test_filters_of_every_kind_of_network() -> None:
    assert first_filters(lively("google2014", in_channels=1)).shape[1:] == (1, 7, 7)
    assert first_filters(lively("bn")).shape[1:] == (3, 7, 7)
    assert first_filters(build_network("alexnet", 3, size=96, width=0.05)).shape[2:] == (11, 11)
    assert fit_gabor(np.zeros((1, 7, 7))).r2 == 0
    with pytest.raises(UsageError, match="must be 5×5 or larger for a Gabor function, got 3×3"):
        fit_gabor(np.zeros((3, 3, 3)))
