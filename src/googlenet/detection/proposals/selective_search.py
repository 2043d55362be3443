"""Selective Search (Uijlings et al., 2013): superpixels that are merged step by step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from googlenet.detection.proposals.opencv import ximgproc

# The scale of the superpixels: GoogLeNet's detection doubled it "to halve the number of proposals"
# (section 8).
SUPERPIXELS, DOUBLED = 150, 300


def selective_search(image: NDArray[np.uint8], scale: int = DOUBLED) -> NDArray[np.float32]:
    """(H, W, 3) RGB -> all boxes (N, 4) of the fast mode, the largest first.

    OpenCV draws their order at random; the boxes themselves are always the same.
    Raises GoogLeNetError where OpenCV is missing.
    """
    _, contributed = ximgproc()
    search = contributed.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(image[..., ::-1]))
    search.switchToSelectiveSearchFast(scale, scale, 0.8)
    boxes = np.array(search.process(), np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]  # x, y, width, height
    sides = boxes[:, 2:] - boxes[:, :2]
    order = np.lexsort((*boxes.T, -sides[:, 0] * sides[:, 1]))
    return boxes[order]
