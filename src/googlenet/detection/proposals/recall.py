"""How many true boxes proposals cover."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from googlenet.detection.annotations import Truth
from googlenet.detection.boxes import iou


class Recall(NamedTuple):
    """Of the first `limit` proposals per image: the mean number there is, and, in 0..1, the
    shares of true boxes that one of them overlaps by an IoU of 0.5 and of 0.7; the mean of the
    best overlaps.
    """

    limit: int
    proposals: float
    recall50: float
    recall70: float
    overlap: float


def recalls(
    truths: Sequence[Truth], proposals: Sequence[NDArray[np.float32]], counts: Iterable[int]
) -> list[Recall]:
    """Difficult and crowd boxes are left out."""
    found = []
    for count in counts:
        best = np.concatenate(
            [np.zeros(0)]
            + [
                best_overlaps(truth, boxes[:count])
                for truth, boxes in zip(truths, proposals, strict=True)
            ]
        )
        mean = float(np.mean([min(len(boxes), count) for boxes in proposals] or [0]))
        reached = [float((best >= at).mean()) if len(best) else 0.0 for at in (0.5, 0.7)]
        overlap = float(best.mean()) if len(best) else 0.0
        found.append(Recall(count, mean, reached[0], reached[1], overlap))
    return found


def best_overlaps(truth: Truth, boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    """The IoU of each true box with the proposal that overlaps it most."""
    true = truth.take(~(truth.difficult | truth.crowd)).boxes
    if not len(boxes):
        return np.zeros(len(true))
    return np.asarray(iou(true.astype(np.float64), boxes.astype(np.float64)).max(1))
