"""Whether a classifier's probabilities mean what they say, and the temperature that mends them.

A photo's confidence is the probability of its answer.  Sources: Guo et al., On Calibration of
Modern Neural Networks, 2017, for the error and the temperature; Platt 1999 for the smoothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15  # of equal width, each with its upper end
TEMPERATURES = (0.01, 100.0)  # the range in which one is looked for

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Flags = NDArray[np.bool_]


def bin_of(confidence: Floats, bins: int = BINS) -> NDArray[np.intp]:
    """The bin (k/bins, (k+1)/bins] of each confidence: (N,) -> (N,); 0 is in the first."""
    return np.clip(np.ceil(confidence * bins).astype(np.intp) - 1, 0, bins - 1)


def expected_calibration_error(
    confidence: Floats, correct: Floats | Flags, bins: int = BINS
) -> float:
    """Mean distance of confidence and accuracy, bin by bin, over photos; a share of 1.

    confidence: (N,); correct: (N,), 1 or True where the answer is right.
    """
    gaps = np.bincount(bin_of(confidence, bins), confidence - correct, bins)
    return float(np.abs(gaps).sum() / len(confidence))


def reliability(
    confidence: Floats, correct: Floats | Flags, bins: int = BINS
) -> list[dict[str, Any]]:
    """The bins that have photos: their range, photos, mean confidence and accuracy."""
    where = bin_of(confidence, bins)
    photos = np.bincount(where, minlength=bins)
    sums = (np.bincount(where, values, bins) for values in (confidence, correct))
    confidences, accuracies = (total / np.maximum(1, photos) for total in sums)
    return [
        {
            "low": k / bins,
            "high": (k + 1) / bins,
            "photos": int(photos[k]),
            "confidence": float(confidences[k]),
            "accuracy": float(accuracies[k]),
        }
        for k in np.flatnonzero(photos)
    ]


def softmax(logits: Floats) -> Floats:
    """(N, classes) -> (N, classes)."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def fit_temperature(logits: Floats, labels: Labels) -> float:
    """The temperature of least negative log-likelihood: (N, classes), (N,) -> above 0.

    The likelihood has one photo more than there are, whose class may be any alike: without it
    a few photos that are all answered rightly would ask for a temperature of 0, that is for
    certainty.  The loss is convex in 1/temperature, so its slope has one zero, which is found
    by bisection; outside of TEMPERATURES the nearer end is taken.
    """
    z = np.asarray(logits, np.float64)
    z = z - z.max(1, keepdims=True)
    share = 1 / (len(z) + 1)
    wanted = (1 - share) * z[np.arange(len(z)), labels] + share * z.mean(1)

    def slope(log_temperature: float) -> float:
        """Of the mean loss, by 1/temperature; falls as the temperature rises."""
        p = softmax(z / np.exp(log_temperature))
        return float(((p * z).sum(1) - wanted).mean())

    low, high = np.log(TEMPERATURES)
    for _ in range(60):
        middle = (low + high) / 2
        if slope(middle) > 0:  # too cold: more certain than right
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))


def halves(photos: int, seed: int = 0) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The photos in two random parts of (nearly) one size, by the seed."""
    order = np.random.default_rng((seed, photos)).permutation(photos)
    return np.sort(order[: photos // 2]), np.sort(order[photos // 2 :])


@dataclass(frozen=True)
class TemperatureFit:
    """A temperature and what it does to photos that it was not fitted on.

    temperature: fitted on all photos.  before, after: confidence of each photo (N,), as it
    comes and by the temperature of the half that the photo is not in.  correct: (N,).
    """

    temperature: float
    before: Floats
    after: Floats
    correct: Flags


def cross_fit(logits: Floats, labels: Labels, seed: int = 0) -> TemperatureFit:
    """Fit the temperature on all photos, and judge it on each half by the other half's.

    logits: (N, classes), labels: (N,).  A single photo is judged by its own temperature.
    """
    z = np.asarray(logits, np.float64)
    temperature = fit_temperature(z, labels)
    after = softmax(z / temperature).max(1)
    parts = halves(len(z), seed)
    if len(z) > 1:
        for own, other in (parts, parts[::-1]):
            after[own] = softmax(z[own] / fit_temperature(z[other], labels[other])).max(1)
    return TemperatureFit(temperature, softmax(z).max(1), after, z.argmax(1) == labels)
