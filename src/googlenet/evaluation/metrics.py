"""Metrics of a confusion matrix: per-class precision, recall and F1, and their means.

A class without support (no images) has no recall and no F1 and is excluded from means; `missing`
lists it.  Predictions of it still count against the images' true classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def confusion_matrix(labels: Counts, answers: Counts, classes: int) -> Counts:
    """Counts (true class, predicted class): two times (N,) -> (classes, classes)."""
    pairs = np.asarray(labels) * classes + np.asarray(answers)
    return np.asarray(np.bincount(pairs, minlength=classes**2).reshape(classes, classes))


def confusion_entries(labels: Counts, answers: Counts, classes: int) -> list[list[int]]:
    """The matrix's nonzero entries: [true class, predicted class, count], in that order."""
    pairs, counts = np.unique(
        np.asarray(labels) * classes + np.asarray(answers), return_counts=True
    )
    entries: list[list[int]] = np.stack([*np.divmod(pairs, classes), counts], 1).tolist()
    return entries


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
    """Per-class metrics, from 0 to 1, from three counts per class, each (classes,).

    hits: images that are predicted correctly.  support: images.  predicted_count: how often the
    class was predicted.
    """

    hits: Counts
    support: Counts
    predicted_count: Counts

    @classmethod
    def of(cls, labels: Counts, answers: Counts, classes: int) -> ClassMetrics:
        """From labels and predictions, (N,) each; never makes the confusion matrix."""
        hits = labels[labels == answers]
        return cls(*(np.bincount(each, minlength=classes) for each in (hits, labels, answers)))

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
        precision, recall, f1 = self.precision, self.recall, self.f1
        return [
            {
                "label": name,
                "support": int(self.support[i]),
                "precision": percent(precision[i]),
                "recall": percent(recall[i]),
                "f1": percent(f1[i]),
            }
            for i, name in enumerate(names)
        ]


def percent(fraction: float) -> float | None:
    return None if np.isnan(fraction) else 100 * float(fraction)
