"""Figures of a model whose photos can have several labels: average precision, F1."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]


def average_precision(marks: Marks, scores: Floats) -> float:
    """The area under precision over recall as scikit-learn defines it, of 1; NaN without a yes.

    marks, scores: (N,), whether a photo has the class and how likely that is.  The mean of the
    precision at every yes, photos of equal score taken together.
    """
    if not marks.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # of equal scores
    hits = np.cumsum(marks[order])[ends]
    precision, recall = hits / (ends + 1), hits / marks.sum()
    return float((np.diff(recall, prepend=0) * precision).sum())


@dataclass(frozen=True)
class SeveralLabels:
    """Figures by class as shares of 1, and their means over the classes that are there.

    marks: (N, classes), which photo has which class; probabilities: (N, classes); an answer is
    every class whose probability is above the threshold.
    """

    marks: Marks
    probabilities: Floats
    threshold: float = 0.5

    @cached_property
    def answers(self) -> Marks:
        return np.asarray(self.probabilities > self.threshold)

    @cached_property
    def support(self) -> NDArray[np.int64]:
        """Photos that have each class."""
        return np.asarray(self.marks.sum(0))

    @cached_property
    def average_precision(self) -> Floats:
        """Of each class; NaN for one without photos."""
        pairs = zip(self.marks.T, self.probabilities.T, strict=True)
        return np.array([average_precision(m, p) for m, p in pairs])

    @cached_property
    def f1(self) -> Floats:
        """Of each class at the threshold; NaN for one without photos."""
        hits, either = (self.marks & self.answers).sum(0), self.support + self.answers.sum(0)
        return np.where(self.support > 0, 2 * hits / np.maximum(1, either), np.nan)

    @property
    def mean_average_precision(self) -> float:
        """Mean over the classes that are there; NaN if none is."""
        return mean(self.average_precision)

    @property
    def macro_f1(self) -> float:
        return mean(self.f1)

    @property
    def micro_f1(self) -> float:
        """F1 of all yes and no together, those of classes without photos too."""
        hits, either = (self.marks & self.answers).sum(), self.support.sum() + self.answers.sum()
        return float(2 * hits / either) if either else float("nan")

    @property
    def exact(self) -> float:
        """The share of photos with the right answer for every class."""
        return float((self.marks == self.answers).all(1).mean())


def mean(values: Floats) -> float:
    """The mean of the values that are no NaN; NaN if all are."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else float("nan")
