"""95 % confidence intervals by the bootstrap over images.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from googlenet.runtime.watchdog import beat

RESAMPLES = 2000
LEVEL = 0.95
MAX_DRAWN_AT_ONCE = 1 << 21  # indices; bounds the memory

Floats = NDArray[np.float64]
# Draws (R, N) of image indices -> each metric's R values
Statistic = Callable[[NDArray[np.intp]], Mapping[str, Floats]]


class Interval(NamedTuple):
    """A 95 % confidence interval, in the metric's unit."""

    low: float
    high: float


def resampled(
    statistic: Statistic, images: int, resamples: int = RESAMPLES, seed: int = 0, columns: int = 0
) -> dict[str, Floats]:
    """The metrics of `resamples` draws with replacement: (resamples,) each.

    columns: values per draw that the statistic makes, if more than images.
    """
    rng = np.random.default_rng((seed, images))
    parts: list[Mapping[str, Floats]] = []
    at_once = max(1, MAX_DRAWN_AT_ONCE // max(images, columns))
    for begin in range(0, resamples, at_once):
        rows = min(at_once, resamples - begin)
        parts.append(statistic(rng.integers(0, images, (rows, images))))
        beat()
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def percentile(values: Floats) -> Interval:
    """The central 95 % of the draws' values, NaN ignored."""
    tail = 50 * (1 - LEVEL)
    low, high = np.nanpercentile(values, (tail, 100 - tail))
    return Interval(float(low), float(high))


def bias_corrected(
    values: Floats, found: float, low: float = 0.0, high: float = 1.0
) -> Interval | None:
    """`percentile`, shifted by twice the bootstrap's bias: the draws' own and the metric's.

    A draw lacks some of the images, which biases class means.  None if all draws are equal: the
    images then say nothing about others.
    """
    if np.ptp(values) == 0:
        return None
    of_draws, bias = percentile(values), float(np.mean(values)) - found
    return Interval(max(low, of_draws.low - 2 * bias), min(high, of_draws.high - 2 * bias))


def proportion_interval(values: Floats, hits: int, images: int) -> Interval:
    """`percentile` for a proportion of images; the exact bound if all or none are hits.

    All draws are then equal, so the interval is that of Clopper and Pearson (1934).
    """
    if 0 < hits < images:
        return percentile(values)
    least = ((1 - LEVEL) / 2) ** (1 / images)
    return Interval(least, 1.0) if hits else Interval(0.0, 1 - least)


def ece_ci(values: Floats, found: float, calibrated: Floats) -> Interval:
    """The interval of an expected calibration error, a mean of absolute values.

    Sampling noise biases it upward, once in the images and again in the draws.  So this is the
    pivotal interval (percentiles mirrored at the estimate), its lower end reduced once more by
    the draws' bias, and 0 if a perfectly calibrated model (`calibrated`: its errors on such
    images) would often have an error this large (Bröcker and Smith, 2007).
    """
    of_draws = percentile(values)
    low = 2 * found - of_draws.high - (float(np.mean(values)) - found)
    if found <= percentile(calibrated).high:
        low = 0.0
    return Interval(max(0.0, low), min(1.0, max(found, 2 * found - of_draws.low)))
