"""GoogLeNet stated a second time, for the programs that judge the first.

The numbers are typed anew, from BVLC's published prototxt and the channels of Google's graph: an
oracle shares nothing with what it checks.  NumPy only, for these programs run where torch is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# module: 1×1; 3×3 reduction, 3×3; 5×5 reduction, 5×5; pool projection
BVLC = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
GOOGLE = BVLC | {
    "4a": (192, 96, 204, 16, 48, 64),
    "5a": (256, 160, 320, 48, 128, 128),
}
HEADS = {"4a": 0, "4d": 1}  # the modules that feed an auxiliary head, and the head's number


class Draw:
    """Random weights that neither silence the network nor let it explode.

    Names only serve to give each tensor its own numbers, so that no two are alike.
    """

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def weight(self, shape: Sequence[int], fan_in: int, gain: float = sqrt(2)) -> Floats:
        """He's normal distribution, or with another gain."""
        values = self.random.standard_normal(prod(shape), dtype=np.float32)
        return values.reshape(shape) * np.float32(gain / sqrt(fan_in))

    def around(self, centre: float, spread: float, count: int) -> Floats:
        """Biases, shifts, means: uniform around a center."""
        return self.random.uniform(centre - spread, centre + spread, count).astype(np.float32)


def photos(count: int, side: int, seed: int = 0) -> NDArray[np.uint8]:
    """Colored shapes with some noise: (count, side, side, 3) RGB."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(-60, 316, (count, 8, 8, 3)).repeat(side // 8, 1).repeat(side // 8, 2)
    noise = random.normal(0, 25, coarse.shape)
    return np.clip(coarse + noise, 0, 255).astype(np.uint8)
