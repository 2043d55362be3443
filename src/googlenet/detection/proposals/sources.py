"""Where proposals come from, by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from googlenet.detection.proposals.edge_boxes import edge_boxes
from googlenet.detection.proposals.selective_search import SUPERPIXELS, selective_search
from googlenet.runtime.errors import UsageError

UNION_EXTRA = 200  # the paper adds 200 boxes of MultiBox to those of Selective Search

# (H, W, 3) uint8 RGB and a number -> at most so many boxes (N, 4) float32, best first
Source = Callable[[NDArray[np.uint8], int], NDArray[np.float32]]


def union(image: NDArray[np.uint8], count: int) -> NDArray[np.float32]:
    """The paper's recipe: Selective Search with doubled superpixels, and 200 boxes of another.

    EdgeBoxes stands for MultiBox, which only a trained detector has.
    """
    extra = edge_boxes(image, min(count, UNION_EXTRA))
    return np.concatenate([extra, selective_search(image)])[:count]


SOURCES: dict[str, Source] = {
    "edge-boxes": edge_boxes,
    "selective-search": lambda image, count: selective_search(image)[:count],
    "selective-search-150": lambda image, count: selective_search(image, SUPERPIXELS)[:count],
    "union": union,
}


def source(name: str) -> Source:
    """Raises UsageError for a name that does not exist."""
    if name not in SOURCES:
        raise UsageError(f"--proposals must be one of {', '.join(SOURCES)}, got {name!r}")
    return SOURCES[name]
