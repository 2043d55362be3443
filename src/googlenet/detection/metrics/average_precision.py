"""Average precision: the mean precision over recall, by the rules of the benchmarks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from googlenet.detection.metrics.matching import Matches

Floats = NDArray[np.floating[Any]]

VOC_RECALLS = np.linspace(0, 1, 11)
COCO_RECALLS = np.linspace(0, 1, 101)


def precision_recall(matches: Matches, weights: Floats | None = None) -> tuple[Floats, Floats]:
    """Precision and recall (N,) behind each detection, best first.

    weights: (images,) how often each image counts.
    """
    weights = np.ones(len(matches.positives)) if weights is None else weights
    each = weights[matches.image]
    right = np.cumsum(each * matches.right)
    total = float(weights @ matches.positives)
    precision = right / np.maximum(np.cumsum(each), 1e-12)
    return precision, right / max(total, 1e-12)


def envelope(precision: Floats) -> Floats:
    """The best precision at this recall or a higher one."""
    return np.maximum.accumulate(precision[::-1])[::-1]


def area(precision: Floats, recall: Floats) -> float:
    """VOC 2010: the area under the envelope."""
    steps = np.diff(np.concatenate([[0.0], recall]))
    return float(np.sum(steps * envelope(precision)))


def at_recalls(precision: Floats, recall: Floats, recalls: Floats) -> float:
    """The mean of the envelope at given recalls; 0 where a recall is not reached."""
    at = np.searchsorted(recall, recalls, side="left")
    best = np.concatenate([envelope(precision), [0.0]])
    return float(np.mean(best[at]))


def average_precision(matches: Matches, points: str, weights: Floats | None = None) -> float:
    """points: "11" (VOC 2007), "area" (VOC 2010, ILSVRC) or "101" (COCO).  In 0..1.

    The eleven recalls are numpy's, of which 0.6000000000000001 is above a recall of 3 in 5,
    as in the VOC toolkit.
    """
    precision, recall = precision_recall(matches, weights)
    if points == "area":
        return area(precision, recall)
    return at_recalls(precision, recall, VOC_RECALLS if points == "11" else COCO_RECALLS)
