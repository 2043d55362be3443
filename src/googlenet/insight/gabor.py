"""Gabor functions fitted to the filters of the first layer.

The paper's section 3 builds on Serre et al. 2007, who handle several scales with fixed Gabor
filters of several sizes; Inception learns its filters.  How far the learned ones of the first
layer are Gabor functions, a fit tells:

    g(x, y) = A · exp(−x'² / 2σx² − y'² / 2σy²) · cos(2π f x' + φ)

where x' runs along the wave and y' along the stripes, both from the center (x0, y0).  A filter of
several channels is first taken apart into a color and a pattern (the first pair of its singular
value decomposition); the function is fitted to the pattern.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from googlenet.insight.circuits import IMAGE, expanded_weights
from googlenet.models.googlenet import GoogLeNet
from googlenet.models.registry import Network
from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.runtime.watchdog import beat

Array = NDArray[np.float64]
STARTS = 6  # of the grid's best points, refined
ANGLES = 12
FREQUENCIES = (0.03, 0.08, 0.14, 0.2, 0.28, 0.38)  # cycles per pixel
SIZES = (0.14, 0.25, 0.5)  # of the window, in sides of the filter


@dataclass(frozen=True)
class GaborFit:
    """A filter's best Gabor function.

    orientation: of the stripes, degrees counterclockwise from the horizontal, 0 to 180.
    frequency: cycles per pixel at which the function's spectrum peaks: f where the envelope holds
    a few stripes, less well known where it holds one edge, 0 for a blob.
    size: (σ along the wave, σ along the stripes) in pixels.
    r2: of the pattern, 1 − residual / total sum of squares about its mean.
    color_share: how much of the filter's sum of squares the pattern in one color is.
    function: the fit in the filter's own shape (channels, k, k).
    """

    filter: int
    orientation: float
    frequency: float
    size: tuple[float, float]
    phase: float
    center: tuple[float, float]
    r2: float
    color_share: float
    function: NDArray[np.float32]

    def row(self) -> dict[str, float]:
        """The numbers, for a table."""
        return {
            "filter": self.filter,
            "orientation": round(self.orientation, 1),
            "frequency": round(self.frequency, 4),
            "size_along": round(self.size[0], 3),
            "size_across": round(self.size[1], 3),
            "phase": round(self.phase, 1),
            "x": round(self.center[0], 3),
            "y": round(self.center[1], 3),
            "r2": round(self.r2, 4),
            "color_share": round(self.color_share, 4),
        }


def first_filters(network: Network) -> NDArray[np.float32]:
    """The filters of the first layer, normalization folded in: (filters, channels, k, k)."""
    if isinstance(network, GoogLeNet):
        return expanded_weights(network, IMAGE, network.trunk[0])
    conv = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    return conv.weight.detach().float().cpu().numpy()


def fit_gabor(weights: NDArray[np.floating], number: int = 0) -> GaborFit:
    """The Gabor function nearest to a filter (channels, k, k), `number` being its own.

    Raises GoogLeNetError where SciPy is missing, UsageError for filters of fewer than 25 pixels,
    which have hardly more numbers than the function.
    """
    least_squares = scipy_least_squares()
    channels, side = weights.shape[0], weights.shape[-1]
    if side < 5:
        raise UsageError(f"filters must be 5×5 or larger for a Gabor function, got {side}×{side}")
    color, values, patterns = np.linalg.svd(
        weights.reshape(channels, -1).astype(np.float64), full_matrices=False
    )
    pattern = patterns[0] * values[0]
    energy = float(np.square(values).sum())
    places = np.stack(np.meshgrid(*[np.arange(side) - (side - 1) / 2] * 2)).reshape(2, -1)
    low, high = bounds(side)
    tried = [
        least_squares(
            lambda p: residual(p, places, pattern), start, bounds=(low, high), max_nfev=60
        )
        for start in starts(places, pattern, side)
    ]
    beat()
    best = min(tried, key=lambda each: float(each.cost))
    fitted, (even, odd) = projected(best.x, places, pattern)
    total = float(np.square(pattern - pattern.mean()).sum())
    x0, y0, along, across, frequency, angle = best.x
    return GaborFit(
        filter=number,
        orientation=float((90 - np.degrees(angle)) % 180),
        frequency=peak_frequency(frequency, along, even, odd),
        size=(float(along), float(across)),
        phase=float(np.degrees(np.arctan2(-odd, even))),
        center=(float(x0), float(y0)),
        r2=1 - 2 * float(best.cost) / total if total else 0.0,
        color_share=float(values[0] ** 2) / energy if energy else 0.0,
        function=np.outer(color[:, 0], fitted).reshape(weights.shape).astype(np.float32),
    )


def bounds(side: int) -> tuple[list[float], list[float]]:
    """The lowest and the highest x0, y0, σx, σy, f, angle."""
    edge = side / 2
    return [-edge, -edge, 0.4, 0.4, 0, -2 * np.pi], [edge, edge, 4 * side, 4 * side, 0.5, 2 * np.pi]


def starts(places: Array, pattern: Array, side: int) -> list[Array]:
    """The best points of a coarse grid."""
    angles = np.pi * np.arange(ANGLES) / ANGLES
    points = [
        np.array([0.0, 0.0, size * side, size * side, frequency, angle])
        for size, frequency, angle in product(SIZES, FREQUENCIES, angles)
    ]
    costs = [float(np.square(residual(point, places, pattern)).sum()) for point in points]
    return [points[at] for at in np.argsort(costs, kind="stable")[:STARTS]]


def residual(parameters: Array, places: Array, pattern: Array) -> Array:
    return projected(parameters, places, pattern)[0] - pattern


def projected(parameters: Array, places: Array, pattern: Array) -> tuple[Array, Array]:
    """The best function of this shape, and the factors of its cosine and its sine.

    The amplitude and the phase enter linearly as these two, so that only six numbers are searched.
    """
    x0, y0, along, across, frequency, angle = parameters
    x, y = places[0] - x0, places[1] - y0
    u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    envelope = np.exp(-(u**2) / (2 * along**2) - v**2 / (2 * across**2))
    waves = np.stack([np.cos(2 * np.pi * frequency * u), np.sin(2 * np.pi * frequency * u)], 1)
    basis = envelope[:, None] * waves
    # A wave of frequency 0 has no sine: a little weight on the diagonal keeps this solvable.
    gram = basis.T @ basis + 1e-9 * np.eye(2)
    factors = np.linalg.solve(gram, basis.T @ pattern)
    return basis @ factors, factors


def peak_frequency(frequency: float, along: float, even: float, odd: float) -> float:
    """Where the spectrum along the wave is largest: two bells at ± f, added or subtracted.

    An edge is fitted with any low f, whose bells merge; this says what they make together.
    """
    at = np.linspace(0, 0.5, 1001)
    right, left = (np.exp(-2 * (np.pi * along * (at - f)) ** 2) for f in (frequency, -frequency))
    power = (even * (right + left)) ** 2 + (odd * (right - left)) ** 2
    return float(at[power.argmax()])


def scipy_least_squares() -> Any:
    try:
        from scipy.optimize import least_squares
    except ImportError:
        raise GoogLeNetError(
            "fitting Gabor functions needs SciPy: pip install 'googlenet[explain]'"
        ) from None
    return least_squares
