"""The headline metrics of a model, each with its 95 % confidence interval."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from googlenet.evaluation.calibration_error import BINS, bin_of, expected_calibration_error
from googlenet.evaluation.intervals import (
    RESAMPLES,
    Interval,
    bias_corrected,
    ece_ci,
    proportion_interval,
    resampled,
)
from googlenet.evaluation.metrics import ClassMetrics
from googlenet.evaluation.scores import Scores

Floats = NDArray[np.float64]
Draws = NDArray[np.intp]


class MetricCI(NamedTuple):
    """A metric in percent; `interval` is None if the images do not determine one."""

    value: float
    interval: Interval | None

    def __str__(self) -> str:
        """For example "81.4 % (95 %: 80.1–82.6)"."""
        if self.interval is None:
            return f"{self.value:.1f} %"
        return f"{self.value:.1f} % (95 %: {self.interval.low:.1f}–{self.interval.high:.1f})"

    @property
    def complement(self) -> MetricCI:
        """Error for accuracy, or vice versa."""
        turned = self.interval and Interval(100 - self.interval.high, 100 - self.interval.low)
        return MetricCI(100 - self.value, turned)


def in_percent(value: float, interval: Interval | None) -> MetricCI:
    scaled = interval and Interval(100 * interval.low, 100 * interval.high)
    return MetricCI(100 * value, scaled)


def compute_metrics(
    scores: Scores, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, MetricCI]:
    """`top1_accuracy`, `top5_accuracy`, `macro_f1` and `balanced_accuracy` of the scores.

    All use the same bootstrap draws, so the result depends on the seed alone.
    """
    labels, answers = scores.labels.numpy(), scores.predicted().numpy()
    classes, images = scores.classes, len(scores)
    hits = {"top1_accuracy": scores.hits(1).numpy(), "top5_accuracy": scores.hits(5).numpy()}

    def statistic(draws: Draws) -> dict[str, Floats]:
        shares = {name: right[draws].mean(1) for name, right in hits.items()}
        return shares | class_means(labels, answers, draws, classes)

    values = resampled(statistic, images, resamples, seed, columns=classes)
    found = {
        name: in_percent(
            float(right.mean()), proportion_interval(values[name], int(right.sum()), images)
        )
        for name, right in hits.items()
    }
    if classes <= 5:  # every class is always in the top 5
        found["top5_accuracy"] = MetricCI(100.0, Interval(100.0, 100.0))
    means = ClassMetrics.of(labels, answers, classes)
    for name in ("macro_f1", "balanced_accuracy"):
        value = getattr(means, name)
        found[name] = in_percent(value, bias_corrected(values[name], value))
    return found


def as_errors(found: dict[str, MetricCI]) -> dict[str, MetricCI]:
    """The same metrics with top-1 and top-5 error instead of the accuracies."""
    turned = {
        name.replace("accuracy", "error"): found[name].complement
        for name in ("top1_accuracy", "top5_accuracy")
    }
    return turned | {name: metric for name, metric in found.items() if name[:3] != "top"}


def class_means(
    labels: NDArray[np.int64], answers: NDArray[np.int64], draws: Draws, classes: int
) -> dict[str, Floats]:
    """Macro-F1 and balanced accuracy of each draw, over the classes in it: (R,) each."""
    rows = len(draws)
    offset = classes * np.arange(rows)[:, None]

    def counts(classes_of: NDArray[np.int64], weights: NDArray[np.bool_] | None = None) -> Floats:
        where = (classes_of[draws] + offset).ravel()
        w = None if weights is None else weights[draws].ravel()
        return np.bincount(where, w, rows * classes).reshape(rows, classes).astype(np.float64)

    support, predicted_count = counts(labels), counts(answers)
    right = counts(labels, labels == answers)
    present = support > 0
    f1 = np.where(present, 2 * right / np.maximum(1, support + predicted_count), 0)
    recall = right / np.maximum(1, support)
    there = present.sum(1)
    return {"macro_f1": f1.sum(1) / there, "balanced_accuracy": recall.sum(1) / there}


def calibration_error(scores: Scores) -> MetricCI:
    """The expected calibration error of the scores' probabilities, in percent."""
    right = (scores.predicted() == scores.labels).numpy()
    return ece_metric(scores.confidence().double().numpy(), right)


def proportion_ci(hits: NDArray[np.bool_], resamples: int = RESAMPLES, seed: int = 0) -> MetricCI:
    """The proportion of hits, (N,) bool, in percent."""
    draws = resampled(lambda draws: {"": hits[draws].mean(1)}, len(hits), resamples, seed)[""]
    return in_percent(float(hits.mean()), proportion_interval(draws, int(hits.sum()), len(hits)))


def ece_metric(
    confidence: Floats, correct: NDArray[np.bool_], resamples: int = RESAMPLES, seed: int = 0
) -> MetricCI:
    """The expected calibration error of (N,) confidences, 15 bins, in percent."""
    where, images = bin_of(confidence, BINS), len(confidence)
    gaps = confidence - correct

    def mean_gap(bins: NDArray[np.intp], values: Floats) -> Floats:
        rows = len(values)
        flat = (bins + BINS * np.arange(rows)[:, None]).ravel()
        sums = np.bincount(flat, values.ravel(), rows * BINS).reshape(rows, BINS)
        return np.asarray(np.abs(sums).sum(1) / images)

    def of_draws(draws: Draws) -> dict[str, Floats]:
        return {"error": mean_gap(where[draws], gaps[draws])}

    rng = np.random.default_rng((seed, images, 1))

    def if_calibrated(draws: Draws) -> dict[str, Floats]:
        drawn = rng.random(draws.shape) < confidence
        return {"error": mean_gap(np.broadcast_to(where, draws.shape), confidence - drawn)}

    error = expected_calibration_error(confidence, correct)
    drawn = resampled(of_draws, images, resamples, seed)["error"]
    chance = resampled(if_calibrated, images, resamples, seed)["error"]
    return in_percent(error, ece_ci(drawn, error, chance))


def to_json(found: dict[str, MetricCI]) -> dict[str, Any]:
    """The metrics by name, and `intervals`, the low and high end of each."""
    intervals = {name: metric.interval and list(metric.interval) for name, metric in found.items()}
    return {name: metric.value for name, metric in found.items()} | {"intervals": intervals}
