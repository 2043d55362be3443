"""95 % confidence intervals by the bootstrap: photos drawn again, with replacement, many times.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95
AT_ONCE = 1 << 21  # photos drawn in one piece: bounds the memory

Floats = NDArray[np.float64]
# Draws (R, N) of photo indices -> each figure's R values
Statistic = Callable[[NDArray[np.intp]], Mapping[str, Floats]]


class Interval(NamedTuple):
    """Where a figure lies with 95 % confidence, in the figure's own unit."""

    low: float
    high: float


def resampled(
    statistic: Statistic, photos: int, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Floats]:
    """The figures of `resamples` draws of as many photos, with replacement: (resamples,) each."""
    rng = np.random.default_rng((seed, photos))
    parts: list[Mapping[str, Floats]] = []
    at_once = max(1, AT_ONCE // photos)
    for begin in range(0, resamples, at_once):
        rows = min(at_once, resamples - begin)
        parts.append(statistic(rng.integers(0, photos, (rows, photos))))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def percentile(values: Floats) -> Interval:
    """The middle 95 % of the draws' values (NaN left out)."""
    tail = 50 * (1 - LEVEL)
    low, high = np.nanpercentile(values, (tail, 100 - tail))
    return Interval(float(low), float(high))


def shifted(values: Floats, found: float, low: float = 0.0, high: float = 1.0) -> Interval | None:
    """`percentile`, moved by the bias that the draws show: twice, theirs and the figure's own.

    A draw lacks some of the photos, and so some classes' means of it come out low or high.
    None where the draws are all alike: that says nothing of other photos.
    """
    if np.ptp(values) == 0:
        return None
    of_draws, bias = percentile(values), float(np.mean(values)) - found
    return Interval(max(low, of_draws.low - 2 * bias), min(high, of_draws.high - 2 * bias))


def proportion(values: Floats, hits: int, photos: int) -> Interval:
    """`percentile` of a share of photos; the exact bound where all or none are hits.

    Draws from photos that are all alike are all alike, which says nothing of other photos:
    there the interval is that of Clopper and Pearson (1934).
    """
    if 0 < hits < photos:
        return percentile(values)
    least = ((1 - LEVEL) / 2) ** (1 / photos)
    return Interval(least, 1.0) if hits else Interval(0.0, 1 - least)


def debiased(values: Floats, found: float, calibrated: Floats) -> Interval:
    """The interval of a calibration error, a mean of distances and so never below 0.

    Chance alone makes such a mean larger: that of the photos, and that of the draws again.
    So the percentiles are mirrored at the figure found (the pivotal interval), its low end is
    lowered once more by as much as the draws exceed the figure, since they show too little of
    the photos' own excess, and it is 0 where a perfectly calibrated model (`calibrated`: its
    errors on such photos) would often have as large an error (Bröcker and Smith, 2007).
    """
    of_draws = percentile(values)
    low = 2 * found - of_draws.high - (float(np.mean(values)) - found)
    if found <= percentile(calibrated).high:
        low = 0.0
    return Interval(max(0.0, low), min(1.0, max(found, 2 * found - of_draws.low)))
