"""What training does to a photo: small values, each a function of (image, random numbers).

Sources: section 6 of the paper; Howard 2013 (arXiv 1312.5402) for the photometric distortions;
Krizhevsky et al. 2012, section 4.1, for the lighting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, log, sqrt
from typing import Protocol

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from googlenet.images.crop_source import CropSource, take_crop_source
from googlenet.images.lazy_jpeg import Box, LazyJpeg, Photo, mirrored, resized_crop
from googlenet.images.preprocess import INTERPOLATIONS, Preprocessing, resize_size


class Step(Protocol):
    """A photo is a Pillow image, or an array (H, W, 3) of RGB where `turbo` decoded it."""

    def __call__(self, image: Photo, rng: np.random.Generator) -> Photo: ...


@dataclass(frozen=True)
class RandomResizedCrop:
    """A crop of random area and aspect ratio, resized to `size` by a random interpolation.

    scale: range of the share of the photo's area; ratio: range of width/height, log-uniform.
    """

    size: int
    scale: tuple[float, float]
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolations: Sequence[str] = ("bilinear",)

    def __call__(self, image: Photo | LazyJpeg, rng: np.random.Generator) -> Photo:
        box, interpolation = self.drawn(*size_of(image), rng)
        return resize(image, box, self.size, interpolation)

    def drawn(self, width: int, height: int, rng: np.random.Generator) -> tuple[Box, str]:
        """The crop's box and interpolation."""
        box = self.box(width, height, rng)
        return box, self.interpolations[int(rng.integers(len(self.interpolations)))]

    def reduction(self, width: int, height: int) -> int:
        """By how much such a photo can be shrunk beforehand: the least crop is still larger."""
        narrow = min(self.ratio[0], 1 / self.ratio[1])
        return reduction(sqrt(self.scale[0] * width * height * narrow), self.size)

    def box(self, width: int, height: int, rng: np.random.Generator) -> Box:
        """Left, top, right, bottom of the crop, in pixels."""
        for _ in range(10):
            area = width * height * rng.uniform(*self.scale)
            aspect = exp(rng.uniform(log(self.ratio[0]), log(self.ratio[1])))
            w, h = round(sqrt(area * aspect)), round(sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
                return left, top, left + w, top + h
        # A very long photo has no such crop: take its center at the nearest allowed ratio.
        low, high = self.ratio
        w = min(width, max(1, round(height * high)))
        h = min(height, max(1, round(width / low)))
        left, top = (width - w) // 2, (height - h) // 2
        return left, top, left + w, top + h


@dataclass(frozen=True)
class RandomCrop:
    """BVLC's sampling: the whole photo squashed to 256/224 of the size, a random crop of it."""

    size: int
    interpolation: str = "bilinear"

    def __call__(self, image: Photo | LazyJpeg, rng: np.random.Generator) -> Photo:
        side = resize_size(self.size)
        squashed = resize(image, (0, 0, *size_of(image)), side, self.interpolation)
        left, top = map(int, rng.integers(side - self.size + 1, size=2))
        if isinstance(squashed, np.ndarray):
            return squashed[top : top + self.size, left : left + self.size]
        return squashed.crop((left, top, left + self.size, top + self.size))

    def reduction(self, width: int, height: int) -> int:
        """By how much such a photo can be shrunk beforehand: it is still larger than its crop."""
        return reduction(min(width, height), resize_size(self.size))


@dataclass(frozen=True)
class HorizontalFlip:
    def __call__(self, image: Photo, rng: np.random.Generator) -> Photo:
        if not self.drawn(rng):
            return image
        return mirrored(image) if isinstance(image, np.ndarray) else ImageOps.mirror(image)

    def drawn(self, rng: np.random.Generator) -> bool:
        return bool(rng.random() < 0.5)


@dataclass(frozen=True)
class ColorJitter:
    """Brightness, contrast and color in random order, each by a factor from `factors`."""

    factors: tuple[float, float] = (0.5, 1.5)

    def __call__(self, image: Photo, rng: np.random.Generator) -> Photo:
        image = as_image(image)
        kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        for which in rng.permutation(len(kinds)):
            image = kinds[which](image).enhance(rng.uniform(*self.factors))
        return image


# Principal components of the colors of ImageNet's training photos, for values 0–1, as
# published with Krizhevsky's network and used by everyone since (fb.resnet.torch).
PCA_EIGENVALUES = np.array([0.2175, 0.0188, 0.0045])
PCA_EIGENVECTORS = np.array(
    [
        [-0.5675, 0.7192, 0.4009],
        [-0.5808, -0.0045, -0.8140],
        [-0.5836, -0.6948, 0.4203],
    ]
)


@dataclass(frozen=True)
class PCANoise:
    """A shift along the principal components of color, normal with this deviation."""

    deviation: float = 0.1

    def __call__(self, image: Photo, rng: np.random.Generator) -> Photo:
        amounts = rng.normal(0, self.deviation, size=3) * PCA_EIGENVALUES
        shift = 255 * (PCA_EIGENVECTORS @ amounts)
        shifted = np.asarray(image, dtype=np.float32) + shift.astype(np.float32)
        return Image.fromarray(shifted.round().clip(0, 255).astype(np.uint8))


@dataclass(frozen=True)
class Augmentation:
    """The steps in order; what they do to a sample depends on (seed, epoch, index) alone."""

    steps: tuple[Step, ...]
    seed: int

    def reduction(self, width: int, height: int) -> int:
        """By how much a photo may be shrunk in decoding: 1 where the first step is no crop."""
        first = self.first_crop
        return first.reduction(width, height) if first else 1

    @property
    def first_crop(self) -> RandomResizedCrop | RandomCrop | None:
        """The first step if it is a crop: the rest of the photo is then not looked at."""
        first = self.steps[0] if self.steps else None
        return first if isinstance(first, RandomResizedCrop | RandomCrop) else None

    def __call__(
        self, image: Photo | LazyJpeg, epoch: int, index: int, side: int | None = None
    ) -> Photo:
        """A photo, augmented; `side` takes the place of the first crop's own.

        Raises DamagedError for a coded photo that is damaged; it must first be cropped.
        """
        rng = self.rng_for(epoch, index)
        steps, crop = self.steps, self.first_crop
        if crop:
            crop, steps = replace(crop, size=side or crop.size), steps[1:]
            image = crop(image, rng)
        assert not isinstance(image, LazyJpeg)
        for step in steps:
            image = step(image, rng)
        return image

    def crop_source(
        self, image: Photo | LazyJpeg, epoch: int, index: int, side: int | None = None
    ) -> CropSource:
        """What `device` makes the crop of, by the same random numbers: the same box and mirroring.

        For steps that are a random resized crop, bilinear, and mirroring.  Raises DamagedError.
        """
        rng = self.rng_for(epoch, index)
        crop, *rest = self.steps
        assert isinstance(crop, RandomResizedCrop)
        box, interpolation = crop.drawn(*size_of(image), rng)
        assert interpolation == "bilinear"
        mirrored = False
        for step in rest:
            assert isinstance(step, HorizontalFlip)
            mirrored ^= step.drawn(rng)
        return take_crop_source(image, box, side or crop.size, mirrored)

    def rng_for(self, epoch: int, index: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, epoch, index))


def flip_if_allowed(p: Preprocessing) -> tuple[Step, ...]:
    return (HorizontalFlip(),) if p.hflip else ()


def as_image(photo: Photo) -> Image.Image:
    return photo if isinstance(photo, Image.Image) else Image.fromarray(photo)


def size_of(photo: Photo | LazyJpeg) -> tuple[int, int]:
    """Width and height in pixels."""
    return (photo.shape[1], photo.shape[0]) if isinstance(photo, np.ndarray) else photo.size


def resize(photo: Photo | LazyJpeg, box: Box, side: int, interpolation: str) -> Photo:
    """The pixels in the box as a square of that side."""
    if isinstance(photo, np.ndarray | LazyJpeg):
        return resized_crop(photo, box, (side, side), interpolation)
    return photo.resize((side, side), INTERPOLATIONS[interpolation], box=box)


def reduction(side: float, target: int) -> int:
    """The largest of 1, 2, 4, 8 by which a side can be divided and be `target` long or longer."""
    return max(factor for factor in (1, 2, 4, 8) if factor == 1 or side >= factor * target)
