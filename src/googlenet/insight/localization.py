"""Where an object is, by a map of where the network looked for it.

Boxes are (4,): left, top, right, bottom as fractions of the image's width and height.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from googlenet.images.view import center_view
from googlenet.insight.explain import Explainer
from googlenet.insight.image_map import Map, to_image

Box = NDArray[np.float64]

THRESHOLD = 0.2  # of the map's maximum (Zhou et al. 2016, section 3.2)
GRID = 56  # places per axis at which a map is cut
IOU = 0.5  # intersection over union from which a box is right (ILSVRC)
WHOLE = np.array([0.0, 0.0, 1.0, 1.0])
# The fixed box that is right most often for ILSVRC's validation images: 54.0 % of the 49,350 that
# docs/explain.md does not measure on.
CENTER = np.array([0.15, 0.165, 0.85, 0.915])

# The localizer's settings, chosen on 495 other validation images (docs/explain.md).
SCALE = 288 / 224  # of the network's size: finer maps
THRESHOLDS = (0.15, 0.2, 0.25, 0.3)
TRUST = 0.8  # in the map's box; the rest in CENTER


@torch.inference_mode()
def localize(explainer: Explainer, image: Image.Image, target: int) -> Box:
    """The box of a class's object in an upright image, for networks with class activation maps.

    The map is of the whole image at a larger scale, averaged with its mirror image's.  The box is
    the mean of those above several thresholds, drawn to where objects usually are.
    """
    p = explainer.classifier.preprocessing
    side = round(SCALE * p.size)
    whole = replace(p, mode="squash", size=side, resize_size=side)
    x = explainer.input(center_view(image, whole))
    views = torch.cat([x, x.flip(3)]) if p.hflip else x
    maps = explainer.cam(views, target).cpu().numpy()
    if p.hflip:
        maps[1] = maps[1, :, ::-1]
    level = to_image(np.maximum(maps.mean(0), 0), image.size, whole, grid=GRID)
    boxes = [map_box(level, threshold) for threshold in THRESHOLDS]
    found: Box = TRUST * np.mean(boxes, 0) + (1 - TRUST) * CENTER
    return found


def map_box(image_map: Map, threshold: float = THRESHOLD) -> Box:
    """The box of the largest connected part of a map above a fraction of its maximum."""
    height, width = image_map.shape
    above = image_map >= threshold * image_map.max() if image_map.max() > 0 else image_map > -np.inf
    part = largest_part(above)
    rows, columns = (np.flatnonzero(part.any(axis)) for axis in (1, 0))
    return np.array([
        columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height
    ])  # fmt: skip


def largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest of the parts of True that touch, corners included."""
    height, width = mask.shape
    labels = np.zeros(mask.shape, int)
    sizes = [0]
    for start in zip(*np.nonzero(mask), strict=True):
        if labels[start]:
            continue
        labels[start] = len(sizes)
        waiting, size = deque([start]), 0
        while waiting:
            row, column = waiting.popleft()
            size += 1
            for y in range(max(0, row - 1), min(height, row + 2)):
                for x in range(max(0, column - 1), min(width, column + 2)):
                    if mask[y, x] and not labels[y, x]:
                        labels[y, x] = len(sizes)
                        waiting.append((y, x))
        sizes.append(size)
    part: NDArray[np.bool_] = labels == int(np.argmax(sizes))
    return part


def overlap(box: Box, boxes: NDArray[np.float64]) -> float:
    """The largest intersection over union of a box with any of (n, 4)."""
    corners = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.maximum(corners, 0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return float((shared / ((box[2:] - box[:2]).prod() + areas - shared)).max())


def points_into(image_map: Map, boxes: NDArray[np.float64]) -> bool:
    """The pointing game: whether the map's highest place is in a box (arXiv 1608.00507)."""
    row, column = np.unravel_index(int(image_map.argmax()), image_map.shape)
    x, y = (column + 0.5) / image_map.shape[1], (row + 0.5) / image_map.shape[0]
    inside = (boxes[:, 0] <= x) & (x <= boxes[:, 2]) & (boxes[:, 1] <= y) & (y <= boxes[:, 3])
    return bool(inside.any())
