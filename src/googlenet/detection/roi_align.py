"""RoIAlign: a region of a map as a square of a fixed size (Mask R-CNN, section 3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

SAMPLES = 2  # points along each side of a bin, whose mean it is


class MapGeometry(NamedTuple):
    """Where a map's places lie in the image: the center of place i at offset + stride · i pixels.

    Ceil pooling without padding moves the centers: those of GoogLeNet's module 4e lie at
    14.5 + 16 i, not at 8 + 16 i.
    """

    stride: float
    offset: float

    def to_map(self, boxes: Tensor) -> Tensor:
        """Boxes in pixels -> in places of the map, of which the first one's center is 0."""
        return (boxes - self.offset) / self.stride


def roi_align(features: Tensor, boxes: Tensor, size: int) -> Tensor:
    """(1, C, H, W) of one image and (N, 4) boxes in places of the map -> (N, C, size, size).

    Each bin is the mean of 2×2 points, interpolated bilinearly; what lies outside the map has the
    value of its edge.  Gradients reach the map.
    """
    count, points = len(boxes), size * SAMPLES
    height, width = features.shape[2:]
    steps = (torch.arange(points, device=boxes.device) + 0.5) / points
    x = boxes[:, :1] + (boxes[:, 2:3] - boxes[:, :1]) * steps
    y = boxes[:, 1:2] + (boxes[:, 3:4] - boxes[:, 1:2]) * steps
    # grid_sample wants -1 at the center of the first place, 1 at that of the last.
    x = x / max(width - 1, 1) * 2 - 1
    y = y / max(height - 1, 1) * 2 - 1
    shape = (count, points, points)
    grid = torch.stack([x[:, None].expand(shape), y[:, :, None].expand(shape)], -1)
    found = F.grid_sample(
        features,
        grid.reshape(1, count * points, points, 2),
        padding_mode="border",
        align_corners=True,
    )
    channels = features.shape[1]
    found = found.reshape(channels, count, size, SAMPLES, size, SAMPLES).mean((3, 5))
    return found.transpose(0, 1).contiguous(memory_format=torch.channels_last)
