"""What training does to a photo: small values, each a function of (image, random numbers).

Sources: section 6 of the paper; Howard 2013 (arXiv 1312.5402) for the photometric distortions;
Krizhevsky et al. 2012, section 4.1, for the lighting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Protocol

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from googlenet.images.preprocess import INTERPOLATIONS, Preprocessing, margin


class Step(Protocol):
    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image: ...


@dataclass(frozen=True)
class RandomResizedCrop:
    """A crop of random area and aspect ratio, resized to `size` by a random interpolation.

    area: range of the share of the photo's area; aspect: range of width/height, log-uniform.
    """

    size: int
    area: tuple[float, float]
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    interpolations: Sequence[str] = ("bilinear",)

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        box = self.box(image.width, image.height, rng)
        interpolation = self.interpolations[int(rng.integers(len(self.interpolations)))]
        return image.resize((self.size, self.size), INTERPOLATIONS[interpolation], box=box)

    def box(self, width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of the crop, in pixels."""
        for _ in range(10):
            area = width * height * rng.uniform(*self.area)
            aspect = exp(rng.uniform(log(self.aspect[0]), log(self.aspect[1])))
            w, h = round(sqrt(area * aspect)), round(sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
                return left, top, left + w, top + h
        # A very long photo has no such crop: take its centre at the nearest allowed ratio.
        low, high = self.aspect
        w = min(width, max(1, round(height * high)))
        h = min(height, max(1, round(width / low)))
        left, top = (width - w) // 2, (height - h) // 2
        return left, top, left + w, top + h


@dataclass(frozen=True)
class RandomCrop:
    """BVLC's sampling: the whole photo squashed to 256/224 of the size, a random crop of it."""

    size: int
    interpolation: str = "bilinear"

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        side = margin(self.size)
        squashed = image.resize((side, side), INTERPOLATIONS[self.interpolation])
        left, top = rng.integers(side - self.size + 1, size=2)
        return squashed.crop((int(left), int(top), int(left) + self.size, int(top) + self.size))


@dataclass(frozen=True)
class Mirror:
    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        return ImageOps.mirror(image) if rng.random() < 0.5 else image


@dataclass(frozen=True)
class Photometric:
    """Brightness, contrast and colour in random order, each by a factor from `factors`."""

    factors: tuple[float, float] = (0.5, 1.5)

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        for which in rng.permutation(len(kinds)):
            image = kinds[which](image).enhance(rng.uniform(*self.factors))
        return image


# Principal components of the colours of ImageNet's training photos, for values 0–1, as
# published with Krizhevsky's network and used by everyone since (fb.resnet.torch).
LIGHTING_VALUES = np.array([0.2175, 0.0188, 0.0045])
LIGHTING_VECTORS = np.array(
    [
        [-0.5675, 0.7192, 0.4009],
        [-0.5808, -0.0045, -0.8140],
        [-0.5836, -0.6948, 0.4203],
    ]
)


@dataclass(frozen=True)
class Lighting:
    """A shift along the principal components of colour, normal with this deviation."""

    deviation: float = 0.1

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        amounts = rng.normal(0, self.deviation, size=3) * LIGHTING_VALUES
        shift = 255 * (LIGHTING_VECTORS @ amounts)
        shifted = np.asarray(image, dtype=np.float32) + shift.astype(np.float32)
        return Image.fromarray(shifted.round().clip(0, 255).astype(np.uint8))


@dataclass(frozen=True)
class Augmentation:
    """The steps in order; what they do to a sample depends on (seed, epoch, index) alone."""

    steps: tuple[Step, ...]
    seed: int

    def __call__(self, image: Image.Image, epoch: int, index: int) -> Image.Image:
        rng = np.random.default_rng((self.seed, epoch, index))
        for step in self.steps:
            image = step(image, rng)
        return image


def mirror_if_allowed(p: Preprocessing) -> tuple[Step, ...]:
    return (Mirror(),) if p.mirror else ()
