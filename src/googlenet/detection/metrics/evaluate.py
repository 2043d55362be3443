"""Detections against the truth: AP per class, its mean, and how sure these are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from googlenet.data.labels import Class
from googlenet.detection.annotations import Truth
from googlenet.detection.detections import Detections
from googlenet.detection.metrics.average_precision import average_precision, precision_recall
from googlenet.detection.metrics.matching import (
    Matches,
    Rule,
    coco_rule,
    ilsvrc_rule,
    match,
    voc_rule,
)
from googlenet.runtime.errors import UsageError

COCO_THRESHOLDS = tuple(float(t) for t in np.linspace(0.5, 0.95, 10))
REPLICATES = 500  # of the bootstrap
RULES: dict[str, tuple[Rule, str, tuple[float, ...]]] = {
    "voc07": (voc_rule, "11", (0.5,)),
    "voc10": (voc_rule, "area", (0.5,)),
    "ilsvrc": (ilsvrc_rule, "area", (0.5,)),
    "coco": (coco_rule, "101", COCO_THRESHOLDS),
}


class Interval(NamedTuple):
    """A value and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def percent(self) -> Interval:
        return Interval(*(round(100 * each, 2) for each in self))


@dataclass(frozen=True)
class ClassResult:
    """A class's AP at IoU 0.5, its number of true boxes, and its curve, best score first."""

    name: str
    ap50: Interval
    boxes: int
    precision: NDArray[np.floating[Any]]
    recall: NDArray[np.floating[Any]]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class Result:
    """map50: mean AP at IoU 0.5 over the classes with true boxes.  map: the metric's own mean;
    for "coco" over IoU 0.5 to 0.95, for the others it is map50.  All in 0..1.
    """

    metric: str
    map50: Interval
    map: Interval
    classes: tuple[ClassResult, ...]
    images: int
    seconds_per_image: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Percentages, as `googlenet detect evaluate --json` prints them."""
        value, low, high = self.map50.percent()
        whole, whole_low, whole_high = self.map.percent()
        return {
            "map50": value,
            "map50_interval": [low, high],
            "map": whole,
            "map_interval": [whole_low, whole_high],
            "metric": self.metric,
            "classes": [
                {
                    "name": each.name,
                    "ap50": each.ap50.percent().value,
                    "ap50_interval": [*each.ap50.percent()[1:]],
                    "boxes": each.boxes,
                }
                for each in self.classes
            ],
            "images": self.images,
            "seconds_per_image": self.seconds_per_image,
        }


def evaluate(
    truths: Sequence[Truth],
    found: Sequence[Detections],
    classes: Sequence[Class],
    metric: str = "voc10",
    seed: int = 0,
) -> Result:
    """Score the detections of each image.

    metric: "voc07", "voc10", "ilsvrc" or "coco".  A class without true boxes is left out.  The
    intervals are the middle 95 % of a bootstrap over images.  Raises UsageError for another
    metric.
    """
    require_metric(metric)
    rule, points, thresholds = RULES[metric]
    present = [c for c in range(len(classes)) if counted(truths, c)]
    matches = {(c, t): match(truths, found, c, rule, t) for c in present for t in thresholds}
    weights = bootstrap_weights(len(truths), seed)
    # (weightings, classes, thresholds), the first weighting being the images themselves
    table = np.array(
        [
            [[average_precision(matches[c, t], points, w) for t in thresholds] for c in present]
            for w in weights
        ]
    ).reshape(len(weights), len(present), len(thresholds))
    rows = tuple(
        class_result(classes[c].name, matches[c, thresholds[0]], table[:, k, 0])
        for k, c in enumerate(present)
    )
    means = mean_of_present(table, [matches[c, thresholds[0]] for c in present], weights)
    return Result(
        metric,
        interval(means[:, 0]),
        interval(means.mean(1)),
        rows,
        len(truths),
    )


def require_metric(metric: str) -> None:
    """Raises UsageError for a metric that does not exist."""
    if metric not in RULES:
        raise UsageError(f"--metric must be one of {', '.join(RULES)}, got {metric!r}")


def counted(truths: Iterable[Truth], label: int) -> int:
    """True boxes of a class that count."""
    return sum(int(((t.labels == label) & ~t.difficult & ~t.crowd).sum()) for t in truths)


def class_result(name: str, matches: Matches, values: NDArray[np.floating[Any]]) -> ClassResult:
    precision, recall = precision_recall(matches)
    boxes = int(matches.positives.sum())
    return ClassResult(name, interval(values), boxes, precision, recall, matches.scores)


def bootstrap_weights(images: int, seed: int) -> NDArray[np.float64]:
    """(1 + REPLICATES, images): how often each image is drawn; the first row is the images."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(images, np.full(images, 1 / max(images, 1)), size=REPLICATES)
    return np.concatenate([np.ones((1, images)), drawn]).astype(np.float64)


def mean_of_present(
    table: NDArray[np.floating[Any]], matches: Sequence[Matches], weights: NDArray[np.float64]
) -> NDArray[np.floating[Any]]:
    """(weightings, thresholds): the mean over the classes whose true boxes were drawn."""
    if not matches:
        return np.zeros((len(weights), table.shape[2]))
    drawn = np.stack([weights @ each.positives > 0 for each in matches], 1)[:, :, None]
    return np.asarray((table * drawn).sum(1) / np.maximum(drawn.sum(1), 1))


def interval(values: NDArray[np.floating[Any]]) -> Interval:
    """The first value, and the middle 95 % of the others."""
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return Interval(float(values[0]), float(low), float(high))
