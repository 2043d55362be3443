"""Expected calibration error, and temperature scaling.

An image's confidence is the probability of its prediction.  Sources: Guo et al., On Calibration
of Modern Neural Networks, 2017; Platt 1999 for the smoothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15  # of equal width; each includes its upper end
TEMPERATURES = (0.01, 100.0)  # range of the search

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Flags = NDArray[np.bool_]


def bin_of(confidence: Floats, bins: int = BINS) -> NDArray[np.intp]:
    """The bin (k/bins, (k+1)/bins] of each confidence: (N,) -> (N,); 0 is in the first."""
    return np.clip(np.ceil(confidence * bins).astype(np.intp) - 1, 0, bins - 1)


def expected_calibration_error(
    confidence: Floats, correct: Floats | Flags, bins: int = BINS
) -> float:
    """Mean gap between confidence and accuracy over bins, weighted by images; from 0 to 1.

    confidence: (N,); correct: (N,), whether the prediction is correct.
    """
    gaps = np.bincount(bin_of(confidence, bins), confidence - correct, bins)
    return float(np.abs(gaps).sum() / len(confidence))


def reliability(
    confidence: Floats, correct: Floats | Flags, bins: int = BINS
) -> list[dict[str, Any]]:
    """The nonempty bins: their range, images, mean confidence and accuracy."""
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
    """The temperature that minimizes the negative log-likelihood: (N, classes), (N,) -> above 0.

    The likelihood includes one extra image with uniform class probabilities: without it, a few
    images that are all predicted correctly would drive the temperature to 0.  The loss is convex
    in 1/temperature, so bisection finds the zero of its derivative, clipped to TEMPERATURES.
    """
    z = np.asarray(logits, np.float64)
    z = z - z.max(1, keepdims=True)
    share = 1 / (len(z) + 1)
    wanted = (1 - share) * z[np.arange(len(z)), labels] + share * z.mean(1)

    def slope(log_temperature: float) -> float:
        """Derivative of the mean loss by 1/temperature; decreases with the temperature."""
        p = softmax(z / np.exp(log_temperature))
        return float(((p * z).sum(1) - wanted).mean())

    low, high = np.log(TEMPERATURES)
    for _ in range(60):
        middle = (low + high) / 2
        if slope(middle) > 0:  # overconfident
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))


def two_folds(photos: int, seed: int = 0) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of the images in two random folds of (nearly) the same size."""
    order = np.random.default_rng((seed, photos)).permutation(photos)
    return np.sort(order[: photos // 2]), np.sort(order[photos // 2 :])


@dataclass(frozen=True)
class TemperatureFit:
    """A temperature and its cross-fitted effect.

    temperature: fitted on all images.  before, after: confidence of each image (N,), uncalibrated
    and with the temperature fitted on the other fold.  correct: (N,).
    """

    temperature: float
    before: Floats
    after: Floats
    correct: Flags


def cross_fit(logits: Floats, labels: Labels, seed: int = 0) -> TemperatureFit:
    """Fit the temperature on all images; evaluate each fold with the one fitted on the other.

    logits: (N, classes), labels: (N,).  A single image is evaluated with its own temperature.
    """
    z = np.asarray(logits, np.float64)
    temperature = fit_temperature(z, labels)
    after = softmax(z / temperature).max(1)
    parts = two_folds(len(z), seed)
    if len(z) > 1:
        for own, other in (parts, parts[::-1]):
            after[own] = softmax(z[own] / fit_temperature(z[other], labels[other])).max(1)
    return TemperatureFit(temperature, softmax(z).max(1), after, z.argmax(1) == labels)
