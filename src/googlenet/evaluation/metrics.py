"""Metrics of a confusion matrix: per-class precision, recall and F1, and their means.

A class without support (no images) has no recall and no F1 and is excluded from means; `missing`
lists it.  Predictions of it still count against the images' true classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def confusion_matrix(labels: Counts, answers: Counts, classes: int) -> Counts:
    """Counts (true class, predicted class): two times (N,) -> (classes, classes)."""
    pairs = np.asarray(labels) * classes + np.asarray(answers)
    return np.asarray(np.bincount(pairs, minlength=classes**2).reshape(classes, classes))


def by_row(matrix: Counts) -> Floats:
    """Fractions of each true class, (classes, classes); zeros for a class without support."""
    return np.asarray(matrix / np.maximum(1, matrix.sum(1, keepdims=True)))


def ratio(part: Counts, whole: Counts) -> Floats:
    """part/whole, NaN where the whole is 0."""
    whole = np.asarray(whole, np.float64)
    found: Floats = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=found, where=whole > 0)
    return found


@dataclass(frozen=True)
class ClassMetrics:
    """Per-class metrics, from 0 to 1, from a matrix of counts (true class, predicted class)."""

    matrix: Counts

    @cached_property
    def hits(self) -> Counts:
        return np.diagonal(self.matrix)

    @cached_property
    def support(self) -> Counts:
        """Images of each class."""
        return np.asarray(self.matrix.sum(1))

    @cached_property
    def predicted_count(self) -> Counts:
        """How often each class was predicted."""
        return np.asarray(self.matrix.sum(0))

    @property
    def recall(self) -> Floats:
        """Fraction of a class's images that are predicted correctly; NaN without images."""
        return ratio(self.hits, self.support)

    @property
    def precision(self) -> Floats:
        """Fraction of a class's predictions that are correct; NaN if it is never predicted."""
        return ratio(self.hits, self.predicted_count)

    @property
    def f1(self) -> Floats:
        """Harmonic mean of precision and recall; 0 for a class that is never predicted."""
        return np.where(
            self.support > 0, ratio(2 * self.hits, self.support + self.predicted_count), np.nan
        )

    @property
    def missing(self) -> list[int]:
        """The classes without support."""
        return [int(i) for i in np.flatnonzero(self.support == 0)]

    @property
    def macro_f1(self) -> float:
        """Mean F1 over the classes with support."""
        return float(np.nanmean(self.f1))

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall over the classes with support."""
        return float(np.nanmean(self.recall))

    def rows(self, names: list[str]) -> list[dict[str, Any]]:
        """An object per class, in percent; None where undefined."""
        return [
            {
                "label": name,
                "support": int(self.support[i]),
                "precision": percent(self.precision[i]),
                "recall": percent(self.recall[i]),
                "f1": percent(self.f1[i]),
            }
            for i, name in enumerate(names)
        ]


def percent(fraction: float) -> float | None:
    return None if np.isnan(fraction) else 100 * float(fraction)
