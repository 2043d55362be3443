"""A map as a picture: heat over the image."""

from __future__ import annotations

import numpy as np
from PIL import Image

from googlenet.insight.image_map import Map

# From nothing to the most, in luminance too, so that it is read without seeing hues: Matplotlib's
# inferno at six places.
RAMP = np.array(
    [(0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164)],
    np.float32,
)
OPACITY = 0.8  # of the hottest places
BRIGHTEST = 99.5  # percentile of the map that is drawn as the most: single pixels stand out


def overlay(image: Image.Image, image_map: Map) -> Image.Image:
    """The image under the map's heat: (H, W) of its own pixels.  What is below 0 is not drawn."""
    size = image.size
    heat = np.maximum(np.asarray(image_map, np.float32), 0)
    most = float(np.percentile(heat, BRIGHTEST)) or float(heat.max()) or 1.0
    small = Image.fromarray(np.minimum(heat / most, 1)).resize(size, Image.Resampling.BILINEAR)
    level = np.clip(np.asarray(small), 0, 1)
    steps = np.linspace(0, 1, len(RAMP))
    color = np.stack([np.interp(level, steps, channel) for channel in RAMP.T], -1)
    alpha = OPACITY * level[..., None] ** 0.7
    gray = np.asarray(image.convert("L").convert("RGB"), np.float32)
    return Image.fromarray(((1 - alpha) * gray + alpha * color).round().astype(np.uint8))


def shrunk(image: Image.Image, side: int) -> Image.Image:
    """The image with neither side longer than `side`."""
    small = image.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.BICUBIC)
    return small
