"""The headline figures of a model on labelled photos, each with its 95 % interval."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from googlenet.evaluation.accuracy import Scores
from googlenet.evaluation.calibration_error import BINS, bin_of, expected_calibration_error
from googlenet.evaluation.intervals import (
    RESAMPLES,
    Interval,
    debiased,
    proportion,
    resampled,
    shifted,
)
from googlenet.evaluation.metrics import ClassMetrics, confusion_matrix

Floats = NDArray[np.float64]
Draws = NDArray[np.intp]


class Figure(NamedTuple):
    """A figure in percent; `interval` is None where the photos leave no way to tell."""

    value: float
    interval: Interval | None

    def __str__(self) -> str:
        """As it is shown: "81.4 % (95 %: 80.1–82.6)"."""
        if self.interval is None:
            return f"{self.value:.1f} %"
        return f"{self.value:.1f} % (95 %: {self.interval.low:.1f}–{self.interval.high:.1f})"

    @property
    def complement(self) -> Figure:
        """The error of an accuracy, and the other way round."""
        turned = self.interval and Interval(100 - self.interval.high, 100 - self.interval.low)
        return Figure(100 - self.value, turned)


def in_percent(value: float, interval: Interval | None) -> Figure:
    scaled = interval and Interval(100 * interval.low, 100 * interval.high)
    return Figure(100 * value, scaled)


def figures(scores: Scores, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Figure]:
    """`top1_accuracy`, `top5_accuracy`, `macro_f1` and `balanced_accuracy` of the scores.

    All by the same draws of photos, so that one seed gives one answer.
    """
    labels, answers = scores.labels.numpy(), scores.predicted().numpy()
    classes, photos = scores.probabilities.shape[1], len(scores)
    hits = {"top1_accuracy": scores.hits(1).numpy(), "top5_accuracy": scores.hits(5).numpy()}

    def statistic(draws: Draws) -> dict[str, Floats]:
        shares = {name: right[draws].mean(1) for name, right in hits.items()}
        return shares | class_means(labels, answers, draws, classes)

    values = resampled(statistic, photos, resamples, seed)
    found = {
        name: in_percent(float(right.mean()), proportion(values[name], int(right.sum()), photos))
        for name, right in hits.items()
    }
    if classes <= 5:  # every class is among the five likeliest, whatever the photo
        found["top5_accuracy"] = Figure(100.0, Interval(100.0, 100.0))
    means = ClassMetrics(confusion_matrix(labels, answers, classes))
    for name in ("macro_f1", "balanced_accuracy"):
        value = getattr(means, name)
        found[name] = in_percent(value, shifted(values[name], value))
    return found


def as_errors(found: dict[str, Figure]) -> dict[str, Figure]:
    """The same figures with top-1 and top-5 error in place of the accuracies."""
    turned = {
        name.replace("accuracy", "error"): found[name].complement
        for name in ("top1_accuracy", "top5_accuracy")
    }
    return turned | {name: figure for name, figure in found.items() if name[:3] != "top"}


def class_means(
    labels: NDArray[np.int64], answers: NDArray[np.int64], draws: Draws, classes: int
) -> dict[str, Floats]:
    """Macro-F1 and balanced accuracy of each draw, over the classes that it has: (R,) each."""
    rows = len(draws)
    offset = classes * np.arange(rows)[:, None]

    def counts(classes_of: NDArray[np.int64], weights: NDArray[np.bool_] | None = None) -> Floats:
        where = (classes_of[draws] + offset).ravel()
        w = None if weights is None else weights[draws].ravel()
        return np.bincount(where, w, rows * classes).reshape(rows, classes).astype(np.float64)

    support, answered = counts(labels), counts(answers)
    right = counts(labels, labels == answers)
    present = support > 0
    f1 = np.where(present, 2 * right / np.maximum(1, support + answered), 0)
    recall = right / np.maximum(1, support)
    there = present.sum(1)
    return {"macro_f1": f1.sum(1) / there, "balanced_accuracy": recall.sum(1) / there}


def calibration_error(scores: Scores) -> Figure:
    """The expected calibration error of the scores' probabilities, in percent."""
    right = (scores.predicted() == scores.labels).numpy()
    return error_of(scores.confidence().double().numpy(), right)


def share(hits: NDArray[np.bool_], resamples: int = RESAMPLES, seed: int = 0) -> Figure:
    """The share of photos that are hits, (N,) bool, in percent."""
    draws = resampled(lambda draws: {"": hits[draws].mean(1)}, len(hits), resamples, seed)[""]
    return in_percent(float(hits.mean()), proportion(draws, int(hits.sum()), len(hits)))


def error_of(
    confidence: Floats, correct: NDArray[np.bool_], resamples: int = RESAMPLES, seed: int = 0
) -> Figure:
    """The expected calibration error of (N,) confidences, 15 bins, in percent."""
    where, photos = bin_of(confidence, BINS), len(confidence)
    gaps = confidence - correct

    def mean_gap(bins: NDArray[np.intp], values: Floats) -> Floats:
        rows = len(values)
        flat = (bins + BINS * np.arange(rows)[:, None]).ravel()
        sums = np.bincount(flat, values.ravel(), rows * BINS).reshape(rows, BINS)
        return np.asarray(np.abs(sums).sum(1) / photos)

    def of_draws(draws: Draws) -> dict[str, Floats]:
        return {"error": mean_gap(where[draws], gaps[draws])}

    rng = np.random.default_rng((seed, photos, 1))

    def if_calibrated(draws: Draws) -> dict[str, Floats]:
        drawn = rng.random(draws.shape) < confidence
        return {"error": mean_gap(np.broadcast_to(where, draws.shape), confidence - drawn)}

    error = expected_calibration_error(confidence, correct)
    drawn = resampled(of_draws, photos, resamples, seed)["error"]
    chance = resampled(if_calibrated, photos, resamples, seed)["error"]
    return in_percent(error, debiased(drawn, error, chance))


def to_json(found: dict[str, Figure]) -> dict[str, Any]:
    """The figures by name, and `intervals`, the low and high end of each."""
    intervals = {name: figure.interval and list(figure.interval) for name, figure in found.items()}
    return {name: figure.value for name, figure in found.items()} | {"intervals": intervals}
