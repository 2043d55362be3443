"""EdgeBoxes (Zitnick and Dollár, 2014): boxes that hold whole contours.

Edges are Sobel gradients thinned across their direction, which needs no model file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from googlenet.detection.proposals.opencv import ximgproc

SIDE = 300  # of the image, in pixels, in which edges are looked for
MIN_AREA = 200  # of a box at that size, in square pixels


def edge_boxes(image: NDArray[np.uint8], count: int) -> NDArray[np.float32]:
    """(H, W, 3) RGB -> at most `count` boxes (N, 4), best first, in the image's pixels.

    Raises GoogLeNetError where OpenCV is missing.
    """
    cv2, contributed = ximgproc()
    height, width = image.shape[:2]
    factor = SIDE / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    if min(size) < 3:
        return np.zeros((0, 4), np.float32)
    shrunk = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    strength, direction = edges(shrunk)
    finder = contributed.createEdgeBoxes()
    finder.setMaxBoxes(count)
    finder.setMinBoxArea(MIN_AREA)
    corners, _ = finder.getBoundingBoxes(strength, direction)
    boxes = np.array(corners, np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]  # x, y, width, height
    return boxes * np.array([width / size[0], height / size[1]] * 2, np.float32)


def edges(image: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[Any]]:
    """(H, W, 3) -> strength in 0..1, 0 beside the ridges, and direction in 0..π, (H, W) each."""
    cv2, _ = ximgproc()
    scaled = image.astype(np.float32) / 255
    x, y = (cv2.Sobel(scaled, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    strongest = (x**2 + y**2).argmax(-1)[..., None]  # of the three colors
    x, y = (np.take_along_axis(each, strongest, -1)[..., 0] for each in (x, y))
    direction = np.mod(np.arctan2(y, x), np.pi).astype(np.float32)
    smooth = cv2.GaussianBlur(np.sqrt(x**2 + y**2), (5, 5), 1.0)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    across, down = np.cos(direction), np.sin(direction)
    before, after = (
        cv2.remap(smooth, columns + step * across, rows + step * down, cv2.INTER_LINEAR)
        for step in (-1, 1)
    )
    ridges = np.where((smooth >= before) & (smooth >= after), smooth, 0).astype(np.float32)
    return ridges / max(float(ridges.max()), 1e-6), direction
