"""Which detections are right: greedy matching, best scores first, by each benchmark's rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from googlenet.detection.annotations import Truth
from googlenet.detection.boxes import areas, intersections, iou
from googlenet.detection.detections import Detections

COCO_LIMIT = 100  # detections per image and class that COCO counts

Flags = NDArray[np.bool_]
# (detections, truth, IoU threshold) of one image and class -> which are right, which ignored.
Rule = Callable[[Detections, Truth, float], tuple[Flags, Flags]]


@dataclass(frozen=True)
class Matches:
    """The detections of a class in all images, best score first.

    scores, right, image: (N,), the last an index of the images.  positives: (images,) true boxes
    that count.  Detections that the rule ignores are left out.
    """

    scores: NDArray[np.float32]
    right: Flags
    image: NDArray[np.intp]
    positives: NDArray[np.int64]


def match(
    truths: Sequence[Truth],
    found: Sequence[Detections],
    label: int,
    rule: Rule,
    threshold: float = 0.5,
) -> Matches:
    """The detections of the class `label`, an index, against the true boxes of each image."""
    scores, right, image = [], [], []
    positives = np.zeros(len(truths), np.int64)
    for i, (truth, detections) in enumerate(zip(truths, found, strict=True)):
        own = truth.take(truth.labels == label)
        mine = of_class(detections, label)
        positives[i] = int((~(own.difficult | own.crowd)).sum())
        is_right, ignored = rule(mine, own, threshold)
        kept = ~ignored
        scores.append(mine.scores[: len(kept)][kept])
        right.append(is_right[kept])
        image.append(np.full(int(kept.sum()), i))
    joined = np.concatenate([np.zeros(0, np.float32), *scores])
    order = np.argsort(-joined, kind="stable")
    return Matches(
        joined[order],
        np.concatenate([np.zeros(0, bool), *right])[order],
        np.concatenate([np.zeros(0, np.intp), *image])[order],
        positives,
    )


def of_class(detections: Detections, label: int) -> Detections:
    """The detections of a class, best first; ties keep their order."""
    own = np.flatnonzero(detections.labels == label)
    own = own[np.argsort(-detections.scores[own], kind="stable")]
    return Detections(detections.boxes[own], detections.labels[own], detections.scores[own])


def voc_rule(found: Detections, truth: Truth, threshold: float) -> tuple[Flags, Flags]:
    """Pascal VOC: each detection belongs to the true box that it overlaps most.

    It is right if the IoU reaches the threshold and no better detection has the box; one of a
    difficult box is ignored.
    """
    right, ignored = np.zeros(len(found), bool), np.zeros(len(found), bool)
    if not len(truth):
        return right, ignored
    overlap = iou(found.boxes.astype(np.float64), truth.boxes.astype(np.float64))
    hard = truth.difficult | truth.crowd
    taken = np.zeros(len(truth), bool)
    for d, best in enumerate(overlap.argmax(1)):
        if overlap[d, best] < threshold:
            continue
        if hard[best]:
            ignored[d] = True
        elif not taken[best]:
            right[d] = taken[best] = True
    return right, ignored


def ilsvrc_thresholds(boxes: NDArray[np.floating[Any]], threshold: float) -> NDArray[np.float64]:
    """ILSVRC's IoU that a true box asks for, less for small ones: wh / ((w + 10)(h + 10))."""
    width, height = (boxes[:, 2:] - boxes[:, :2]).astype(np.float64).T
    return np.asarray(np.minimum(threshold, width * height / ((width + 10) * (height + 10))))


def ilsvrc_rule(found: Detections, truth: Truth, threshold: float) -> tuple[Flags, Flags]:
    """ILSVRC: each detection takes the best true box that is free and reached.

    "Reached" is an IoU of at least `ilsvrc_thresholds` (Russakovsky et al., 2015, section 4.3).
    """
    right, ignored = np.zeros(len(found), bool), np.zeros(len(found), bool)
    if not len(truth):
        return right, ignored
    overlap = iou(found.boxes.astype(np.float64), truth.boxes.astype(np.float64))
    overlap[overlap < ilsvrc_thresholds(truth.boxes, threshold)[None]] = -1
    for d in range(len(found)):
        best = int(overlap[d].argmax())
        if overlap[d, best] >= 0:
            right[d] = True
            overlap[:, best] = -1
    return right, ignored


def coco_rule(found: Detections, truth: Truth, threshold: float) -> tuple[Flags, Flags]:
    """COCO: each detection takes the best true box that is free and reached.

    A crowd can be taken by many, overlaps by intersection over the detection's area, and only
    where no other box is reached; its detections are ignored.  Of the detections, the best
    `COCO_LIMIT` count.
    """
    found = found.best(COCO_LIMIT)
    right, ignored = np.zeros(len(found), bool), np.zeros(len(found), bool)
    hard = truth.difficult | truth.crowd
    order = np.argsort(hard, kind="stable")
    truth, hard = truth.take(order), hard[order]
    overlap = coco_overlap(found, truth)
    free = np.ones(len(truth), bool)
    least = min(threshold, 1 - 1e-10)
    for d in range(len(found)):
        usable = (free | truth.crowd) & (overlap[d] >= least)
        if (usable & ~hard).any():
            usable &= ~hard
        reached = np.flatnonzero(usable)
        if not len(reached):
            continue
        best = reached[::-1][overlap[d, reached[::-1]].argmax()]  # the last of equal ones
        free[best] = False
        right[d], ignored[d] = not hard[best], hard[best]
    return right, ignored


def coco_overlap(found: Detections, truth: Truth) -> NDArray[np.float64]:
    """(detections, true boxes): IoU, of crowds the share of the detection."""
    boxes, others = found.boxes.astype(np.float64), truth.boxes.astype(np.float64)
    shared = intersections(boxes, others)
    own = areas(boxes)[:, None]
    whole = np.where(truth.crowd[None], own, own + areas(others)[None] - shared)
    return np.asarray(np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0))
