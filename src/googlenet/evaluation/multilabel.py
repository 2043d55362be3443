"""Metrics of multi-label models: average precision, F1, exact match."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from googlenet.evaluation.intervals import RESAMPLES, percentile, resampled
from googlenet.evaluation.metric_ci import MetricCI, in_percent
from googlenet.evaluation.metrics import percent
from googlenet.evaluation.scores import Scores

Floats = NDArray[np.float64]
MultiHot = NDArray[np.bool_]
MULTILABEL_METRICS = ("mean_average_precision", "micro_f1", "macro_f1", "exact_match")


def average_precision(marks: MultiHot, scores: Floats, weights: Floats | None = None) -> Floats:
    """Average precision as scikit-learn defines it, from 0 to 1; NaN without positives.

    marks, scores: (N,), whether an image has the class, and its probability.  weights: (R, N),
    how often each image counts in each of R draws, once if None; returns (R,).
    """
    counts = np.ones((1, len(marks))) if weights is None else weights
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # of equal scores
    every = np.cumsum(counts[:, order], 1)[:, ends]
    hits = np.cumsum(counts[:, order] * marks[order], 1)[:, ends]
    precision = hits / np.maximum(1, every)
    gained = np.diff(hits, axis=1, prepend=0)
    yes = hits[:, -1]
    area = (gained * precision).sum(1)
    return ratio(area, yes)


@dataclass(frozen=True)
class MultilabelMetrics:
    """Per-class metrics, from 0 to 1, and their means over the classes with support.

    multi_hot: (N, classes), the labels; probabilities: (N, classes); a class is predicted if its
    probability is above the threshold.
    """

    multi_hot: MultiHot
    probabilities: Floats
    threshold: float

    @classmethod
    def of(cls, scores: Scores, threshold: float) -> MultilabelMetrics:
        return cls(scores.labels.numpy(), scores.probabilities.double().numpy(), threshold)

    @cached_property
    def answers(self) -> MultiHot:
        return np.asarray(self.probabilities > self.threshold)

    @cached_property
    def support(self) -> NDArray[np.int64]:
        """Images of each class."""
        return np.asarray(self.multi_hot.sum(0))

    @property
    def missing(self) -> list[int]:
        """The classes without images."""
        return [int(i) for i in np.flatnonzero(self.support == 0)]

    @cached_property
    def average_precision(self) -> Floats:
        """Of each class; NaN for one without images."""
        pairs = zip(self.multi_hot.T, self.probabilities.T, strict=True)
        return np.array([average_precision(m, p)[0] for m, p in pairs])

    @cached_property
    def hits(self) -> NDArray[np.int64]:
        return np.asarray((self.multi_hot & self.answers).sum(0))

    @cached_property
    def predicted_count(self) -> NDArray[np.int64]:
        return np.asarray(self.answers.sum(0))

    def rows(self, names: list[str]) -> list[dict[str, Any]]:
        """An object per class, in percent; None where undefined."""
        recall, precision, f1 = (
            ratio(n * self.hits, of)
            for n, of in (
                (1, self.support),
                (1, self.predicted_count),
                (2, np.where(self.support > 0, self.support + self.predicted_count, 0)),
            )
        )
        return [
            {
                "label": name,
                "support": int(self.support[i]),
                "average_precision": percent(self.average_precision[i]),
                "precision": percent(precision[i]),
                "recall": percent(recall[i]),
                "f1": percent(f1[i]),
            }
            for i, name in enumerate(names)
        ]

    def means(self, weights: Floats | None = None) -> dict[str, Floats]:
        """The MULTILABEL_METRICS of each of R draws, (R,) each, from 0 to 1; NaN where undefined.

        weights: (R, N), how often each image counts; None: one draw of every image once.
        """
        counts = np.ones((1, len(self.multi_hot))) if weights is None else weights
        pairs = zip(self.multi_hot.T, self.probabilities.T, strict=True)
        by_class = np.stack([average_precision(m, p, counts) for m, p in pairs], 1)
        hits = counts @ (self.multi_hot & self.answers)
        support = counts @ self.multi_hot
        either = support + counts @ self.answers
        f1 = np.where(support > 0, 2 * hits / np.maximum(1, either), np.nan)
        right = (self.multi_hot == self.answers).all(1)
        return {
            "mean_average_precision": mean(by_class),
            # Includes classes without images: predicting them is wrong.
            "micro_f1": ratio(2 * hits.sum(1), either.sum(1)),
            "macro_f1": mean(f1),
            "exact_match": counts @ right / counts.sum(1),
        }


def multilabel_metrics(
    scores: Scores, threshold: float, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, MetricCI]:
    """The defined MULTILABEL_METRICS of the scores in percent, with intervals."""
    found = MultilabelMetrics.of(scores, threshold)
    images = len(scores)

    def statistic(draws: NDArray[np.intp]) -> dict[str, Floats]:
        where = draws + images * np.arange(len(draws))[:, None]
        counts = np.bincount(where.ravel(), minlength=draws.shape[0] * images)
        return found.means(counts.reshape(draws.shape[0], images).astype(np.float64))

    values = resampled(statistic, images, resamples, seed)
    return {
        name: in_percent(float(value[0]), percentile(values[name]))
        for name, value in found.means().items()
        if not np.isnan(value[0])
    }


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    """part/whole, NaN where the whole is 0."""
    found = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=found, where=whole > 0)
    return found


def mean(values: Floats) -> Floats:
    """Row means ignoring NaN, (R, classes) -> (R,); NaN if all are."""
    there = ~np.isnan(values)
    return ratio(np.where(there, values, 0).sum(1), there.sum(1))
