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
    images = np.bincount(where, minlength=bins)
    sums = (np.bincount(where, values, bins) for values in (confidence, correct))
    confidences, accuracies = (total / np.maximum(1, images) for total in sums)
    return [
        {
            "low": k / bins,
            "high": (k + 1) / bins,
            "photos": int(images[k]),
            "confidence": float(confidences[k]),
            "accuracy": float(accuracies[k]),
        }
        for k in np.flatnonzero(images)
    ]


def softmax(logits: Floats) -> Floats:
    """(N, classes) -> (N, classes)."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def fit_temperature(logits: Floats, labels: Labels) -> float:
    """The temperature that minimizes the negative log-likelihood: (N, classes), (N,) -> above 0.

    The likelihood includes one extra image with uniform class probabilities: without it, a few
    images that are all predicted correctly would drive the temperature to 0.  The loss is convex
    in 1/temperature, so bisection finds the zero of its gradient, clipped to TEMPERATURES.
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


def two_folds(images: int, seed: int = 0) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of the images in two random folds of (nearly) the same size."""
    order = np.random.default_rng((seed, images)).permutation(images)
    return np.sort(order[: images // 2]), np.sort(order[images // 2 :])


@dataclass(frozen=True)
class TemperatureFit:
    """A temperature and its cross-fitted effect.

    fitted: the temperature fitted on all images.  before, after: confidence of each image (N,),
    uncalibrated and with the temperature fitted on the other fold; nll_before, nll_after: the
    mean negative log-likelihood of the labels, likewise.  correct: (N,).
    """

    fitted: float
    before: Floats
    after: Floats
    nll_before: float
    nll_after: float
    correct: Flags

    @property
    def kept(self) -> bool:
        """Whether the temperature helps images on which it was not fitted.

        Both cross-fitted numbers must say so: the negative log-likelihood is lower, and the
        expected calibration error is not higher.  The likelihood is a proper score, so an
        improvement of it is one of the probabilities themselves, but a few surprising images
        decide it; the calibration error is what a temperature is for and what is reported, but
        in bins of few images it is noisy and can improve by chance.  A temperature that passes
        only one of the two has not been shown to help, and 1 needs no evidence.
        """
        errors = (
            expected_calibration_error(each, self.correct) for each in (self.before, self.after)
        )
        ece_before, ece_after = errors
        return self.nll_after < self.nll_before and ece_after <= ece_before

    @property
    def temperature(self) -> float:
        """The fitted temperature if it is kept, else 1."""
        return self.fitted if self.kept else 1.0


def cross_fit(logits: Floats, labels: Labels, seed: int = 0) -> TemperatureFit:
    """Fit the temperature on all images; evaluate each fold with the one fitted on the other.

    logits: (N, classes), labels: (N,).  A single image has no other fold: it is evaluated with
    the temperature 1.
    """
    z = np.asarray(logits, np.float64)
    p = softmax(z)
    before, nll_before = p.max(1), nll_of(p, labels)
    after, nll_after = before.copy(), nll_before.copy()
    parts = two_folds(len(z), seed)
    if len(z) > 1:
        for own, other in (parts, parts[::-1]):
            p = softmax(z[own] / fit_temperature(z[other], labels[other]))
            after[own], nll_after[own] = p.max(1), nll_of(p, labels[own])
    return TemperatureFit(
        fit_temperature(z, labels),
        before,
        after,
        float(nll_before.mean()),
        float(nll_after.mean()),
        z.argmax(1) == labels,
    )


def nll_of(probabilities: Floats, labels: Labels) -> Floats:
    """Negative log-likelihood of each image's label: (N, classes), (N,) -> (N,)."""
    true = probabilities[np.arange(len(labels)), labels]
    return np.asarray(-np.log(np.maximum(true, np.finfo(np.float64).tiny)))
