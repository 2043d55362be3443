"""What a detector finds in an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Detections:
    """boxes: (N, 4) float32, as in `boxes.py`; labels: (N,) class indices; scores: (N,) in 0..1.

    Best first.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def none(cls) -> Detections:
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))

    def best(self, count: int) -> Detections:
        return Detections(self.boxes[:count], self.labels[:count], self.scores[:count])
