"""Arithmetic of boxes: x1, y1, x2, y2 in pixels, from the left edge of the first pixel.

A box that covers the pixel in the corner alone is (0, 0, 1, 1): its width is x2 - x1.  This is
COCO's convention; Pascal VOC's files, which count pixels from 1 and include the last, are
converted when they are read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.floating[Any]]  # (N, 4)

# The longest step of a side's logarithm that a regression may take: 1000/16 times as long.
MAX_LOG_SCALE = float(np.log(1000 / 16))


def areas(boxes: Boxes) -> NDArray[np.floating[Any]]:
    """(N, 4) -> (N,) square pixels; 0 for a box without width or height."""
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
    return np.asarray(sides[:, 0] * sides[:, 1])


def intersections(first: Boxes, second: Boxes) -> NDArray[np.floating[Any]]:
    """(N, 4), (M, 4) -> (N, M) square pixels that two boxes share."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    sides = np.clip(high - low, 0, None)
    return np.asarray(sides[..., 0] * sides[..., 1])


def iou(first: Boxes, second: Boxes) -> NDArray[np.floating[Any]]:
    """(N, 4), (M, 4) -> (N, M): intersection over union, 0 where both are empty."""
    shared = intersections(first, second)
    union = areas(first)[:, None] + areas(second)[None] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def clip(boxes: Boxes, width: int, height: int) -> Boxes:
    """The boxes' parts inside an image."""
    return np.clip(boxes, 0, [width, height, width, height]).astype(boxes.dtype)


def encode(targets: Boxes, anchors: Boxes) -> NDArray[np.float32]:
    """The regression that leads from anchors to targets: (N, 4), (N, 4) -> (N, 4).

    Shifts of the center in the anchor's sides, logarithms of the sides' ratios (R-CNN, appendix
    C).  Both must have area.
    """
    size, target = anchors[:, 2:] - anchors[:, :2], targets[:, 2:] - targets[:, :2]
    shift = (targets[:, :2] + target / 2 - anchors[:, :2] - size / 2) / size
    return np.concatenate([shift, np.log(target / size)], 1).astype(np.float32)


def decode(deltas: NDArray[np.floating[Any]], anchors: Boxes) -> NDArray[np.float32]:
    """The boxes to which a regression leads: (N, 4), (N, 4) -> (N, 4); inverse of `encode`."""
    size = anchors[:, 2:] - anchors[:, :2]
    center = anchors[:, :2] + size / 2 + deltas[:, :2] * size
    half = size * np.exp(np.minimum(deltas[:, 2:], MAX_LOG_SCALE)) / 2
    return np.concatenate([center - half, center + half], 1).astype(np.float32)


def nms(boxes: Boxes, scores: NDArray[np.floating[Any]], threshold: float) -> NDArray[np.intp]:
    """Non-maximum suppression: the indices that stay, best first; ties keep their order.

    A box goes if its IoU with a better one that stays is above the threshold.
    """
    order = np.argsort(-scores, kind="stable")
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        order = order[iou(boxes[best : best + 1], boxes[order])[0] <= threshold]
    return np.array(kept, np.intp)


def soft_nms(
    boxes: Boxes, scores: NDArray[np.floating[Any]], sigma: float = 0.5, least: float = 0.001
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Soft-NMS with a Gaussian (Bodla et al., 2017): the indices that stay, and their scores.

    A box's score falls by exp(-IoU² / sigma) for each better one; below `least` it goes.
    """
    found = scores.astype(np.float32).copy()
    left, kept, kept_scores = np.arange(len(scores)), [], []
    while len(left):
        at = int(np.argmax(found[left]))
        best = left[at]
        if found[best] < least:
            break
        kept.append(best)
        kept_scores.append(found[best])
        left = np.delete(left, at)
        overlap = iou(boxes[best : best + 1], boxes[left])[0]
        found[left] *= np.exp(-(overlap**2) / sigma).astype(np.float32)
    return np.array(kept, np.intp), np.array(kept_scores, np.float32)
