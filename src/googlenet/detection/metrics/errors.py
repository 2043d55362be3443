"""What kinds of errors a detector makes, and what each costs (TIDE, Bolya et al., 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from googlenet.detection.annotations import Truth
from googlenet.detection.boxes import iou
from googlenet.detection.detections import Detections
from googlenet.detection.metrics.average_precision import average_precision
from googlenet.detection.metrics.matching import Matches

FOREGROUND, BACKGROUND = 0.5, 0.1  # IoU from which on a box is right, below which it is nowhere
KINDS = {
    "localization": "right class, badly placed (IoU 0.1 to 0.5)",
    "class": "well placed, wrong class",
    "both": "wrong class and badly placed",
    "duplicate": "an object that a better detection has",
    "background": "no object there",
    "missed": "an object that no detection touches",
}


@dataclass(frozen=True)
class ErrorKind:
    """count: errors of this kind.  cost: points of mAP at IoU 0.5 that mending all would win."""

    count: int
    cost: float


@dataclass
class Judged:
    """The detections of an image: `right`, the kind of each error, and for `localization` and
    `class` the true box that it would be; the true boxes that are `found` and `missed`.
    """

    found: Detections
    truth: Truth
    right: NDArray[np.bool_]
    kinds: list[str] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    taken: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    missed: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))


def error_kinds(
    truths: Sequence[Truth], found: Sequence[Detections], classes: int
) -> dict[str, ErrorKind]:
    """Each kind of KINDS, over all images.  Difficult and crowd boxes are left out of the truth."""
    judged = [judge(t, f) for t, f in zip(truths, found, strict=True)]
    before = mean_ap(judged, classes, "")
    counts = {kind: sum(each.kinds.count(kind) for each in judged) for kind in KINDS}
    counts["missed"] = sum(int(each.missed.sum()) for each in judged)
    return {
        kind: ErrorKind(counts[kind], 100 * (mean_ap(judged, classes, kind) - before))
        for kind in KINDS
    }


def judge(truth: Truth, found: Detections) -> Judged:
    """Which detections of an image are right, best first, and what is wrong with the others."""
    truth = truth.take(~(truth.difficult | truth.crowd))
    order = np.argsort(-found.scores, kind="stable")
    found = Detections(found.boxes[order], found.labels[order], found.scores[order])
    overlap = iou(found.boxes.astype(np.float64), truth.boxes.astype(np.float64))
    same = found.labels[:, None] == truth.labels[None]
    taken = np.zeros(len(truth), bool)
    result = Judged(found, truth, np.zeros(len(found), bool))
    for d in range(len(found)):
        free = np.where(same[d] & ~taken, overlap[d], 0)
        if len(truth) and free.max() >= FOREGROUND:
            taken[free.argmax()] = result.right[d] = True
    for d in range(len(found)):
        kind, target = ("", -1) if result.right[d] else wrong(overlap[d], same[d], taken)
        result.kinds.append(kind)
        result.targets.append(target)
    touched = {t for k, t in zip(result.kinds, result.targets, strict=True) if t >= 0}
    result.taken = taken
    result.missed = np.array([not taken[g] and g not in touched for g in range(len(truth))], bool)
    return result


def wrong(
    overlap: NDArray[np.floating], same: NDArray[np.bool_], taken: NDArray[np.bool_]
) -> tuple[str, int]:
    """The kind of an error, and the true box that it would be after mending, -1 for none."""
    own, other = np.where(same, overlap, 0), np.where(same, 0, overlap)
    best_own = float(own.max(initial=0))
    best_other = float(other.max(initial=0))
    if BACKGROUND <= best_own < FOREGROUND:
        return "localization", int(own.argmax())
    if best_other >= FOREGROUND:
        return "class", int(other.argmax())
    if best_own >= FOREGROUND:
        return "duplicate", -1
    return ("background" if best_other < BACKGROUND else "both"), -1


def mean_ap(judged: Sequence[Judged], classes: int, mended: str) -> float:
    """mAP at IoU 0.5 (COCO's 101 points) after one kind of error has been mended.

    A badly placed or wrongly named detection becomes right if its object has none yet, else it
    goes; others go; missed objects are no longer asked for.
    """
    rows = [mend(each, mended) for each in judged]
    values = []
    for label in range(classes):
        positives = np.array([int((labels == label).sum()) for *_, labels in rows])
        if not positives.sum():
            continue
        scores = np.concatenate([s[c == label] for s, c, _, _ in rows])
        right = np.concatenate([r[c == label] for _, c, r, _ in rows])
        image = np.concatenate(
            [np.full(int((c == label).sum()), i) for i, (_, c, _, _) in enumerate(rows)]
        )
        order = np.argsort(-scores, kind="stable")
        matches = Matches(scores[order], right[order], image[order], positives)
        values.append(average_precision(matches, "101"))
    return float(np.mean(values)) if values else 0.0


def mend(
    each: Judged, kind: str
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    """Scores, classes and rightness of what is left of an image's detections; labels of truth."""
    scores, labels, right = each.found.scores, each.found.labels.copy(), each.right.copy()
    kept, taken = np.ones(len(scores), bool), each.taken.copy()
    for d, own in enumerate(each.kinds):
        if not kind or own != kind:
            continue
        target = each.targets[d]
        if target >= 0 and not taken[target]:
            taken[target] = right[d] = True
            labels[d] = each.truth.labels[target]
        else:
            kept[d] = False
    truth = each.truth.labels
    asked = truth[~each.missed] if kind == "missed" else truth
    return scores[kept], labels[kept], right[kept], asked
