"""What a confusion matrix says: precision, recall, F1 by class, their means, balanced accuracy.

A class without support (no photo of it is there) has no recall and no F1; it takes no part in a
mean, and `missing` names it.  Answers that name it still count against the photos' own classes.
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
    """Counts (true class, answer): two times (N,) -> (classes, classes)."""
    pairs = np.asarray(labels) * classes + np.asarray(answers)
    return np.asarray(np.bincount(pairs, minlength=classes**2).reshape(classes, classes))


def by_row(matrix: Counts) -> Floats:
    """Shares of each true class, (classes, classes); a class without support has zeros."""
    return np.asarray(matrix / np.maximum(1, matrix.sum(1, keepdims=True)))


def ratio(part: Counts, whole: Counts) -> Floats:
    """part/whole, NaN where the whole is 0: there is nothing to have a share of."""
    whole = np.asarray(whole, np.float64)
    found: Floats = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=found, where=whole > 0)
    return found


@dataclass(frozen=True)
class ClassMetrics:
    """Figures by class as shares of 1, from a matrix of counts (true class, answer)."""

    matrix: Counts

    @cached_property
    def hits(self) -> Counts:
        return np.diagonal(self.matrix)

    @cached_property
    def support(self) -> Counts:
        """Photos of each class."""
        return np.asarray(self.matrix.sum(1))

    @cached_property
    def answered(self) -> Counts:
        """How often each class was the answer."""
        return np.asarray(self.matrix.sum(0))

    @property
    def recall(self) -> Floats:
        """Of the photos of a class, the share that got the right answer; NaN without photos."""
        return ratio(self.hits, self.support)

    @property
    def precision(self) -> Floats:
        """Of the answers that name a class, the share that was right; NaN if it never was one."""
        return ratio(self.hits, self.answered)

    @property
    def f1(self) -> Floats:
        """Harmonic mean of precision and recall; 0 for a class that is there and never answered."""
        return np.where(
            self.support > 0, ratio(2 * self.hits, self.support + self.answered), np.nan
        )

    @property
    def missing(self) -> list[int]:
        """The classes without support."""
        return [int(i) for i in np.flatnonzero(self.support == 0)]

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that are there."""
        return float(np.nanmean(self.f1))

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that are there."""
        return float(np.nanmean(self.recall))

    def rows(self, names: list[str]) -> list[dict[str, Any]]:
        """An object a class, in percent; None where a figure is undefined."""
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


def percent(share: float) -> float | None:
    return None if np.isnan(share) else 100 * float(share)
