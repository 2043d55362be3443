"""Small moves of the image at every step: what survives them is not noise.

As in lucid: padding, jitter, scale, rotation, jitter.  Drawn from a generator, alike for all
images of a batch, so that an image does not depend on those beside it.
"""

from __future__ import annotations

from math import cos, pi, sin

import torch
from torch import Tensor
from torch.nn import functional as F

PADDING = 8  # pixels of gray on each side, by which jitter can move
JITTER = 8  # pixels
SCALE = 0.1  # larger or smaller
DEGREES = 10.0  # to either side
GRAY = 0.5


def transform(images: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """(N, C, H, W) in [0, 1] -> the same size, moved, scaled, and turned a little.

    strength: how far, from 0 for not at all to 1.
    """
    size = images.shape[-1]
    padded = F.pad(images, [PADDING] * 4, value=GRAY)
    scale = 1 + strength * uniform(generator, -SCALE, SCALE)
    angle = strength * uniform(generator, -DEGREES, DEGREES) * pi / 180
    shift = [strength * uniform(generator, -JITTER, JITTER) for _ in range(2)]
    return crop(sample(padded, scale, angle, shift), size)


def uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def sample(images: Tensor, scale: float, angle: float, shift: list[float]) -> Tensor:
    """Turned by `angle` around the center, `scale` times as large, moved by `shift` pixels."""
    side = images.shape[-1]
    c, s = cos(angle) / scale, sin(angle) / scale
    dx, dy = (2 * pixels / side for pixels in shift)
    theta = torch.tensor([[c, -s, dx], [s, c, dy]], dtype=images.dtype)
    shape = [len(images), images.shape[1], side, side]
    grid = F.affine_grid(theta.expand(len(images), 2, 3), shape, align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def crop(images: Tensor, size: int) -> Tensor:
    """The center."""
    first = (images.shape[-1] - size) // 2
    return images[..., first : first + size, first : first + size]
