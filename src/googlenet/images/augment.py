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

from googlenet.images.crop_source import Cut, cut_out
from googlenet.images.lazy_jpeg import Box, CodedPhoto, Photo, crop_resized, mirrored
from googlenet.images.preprocess import INTERPOLATIONS, Preprocessing, margin


class Step(Protocol):
    """A photo is a Pillow image, or an array (H, W, 3) of RGB where `turbo` decoded it."""

    def __call__(self, image: Photo, rng: np.random.Generator) -> Photo: ...


@dataclass(frozen=True)
class RandomResizedCrop:
    """A crop of random area and aspect ratio, resized to `size` by a random interpolation.

    area: range of the share of the photo's area; aspect: range of width/height, log-uniform.
    """

    size: int
    area: tuple[float, float]
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    interpolations: Sequence[str] = ("bilinear",)

    def __call__(self, image: Photo | CodedPhoto, rng: np.random.Generator) -> Photo:
        box, interpolation = self.drawn(*size_of(image), rng)
        return resize(image, box, self.size, interpolation)

    def drawn(self, width: int, height: int, rng: np.random.Generator) -> tuple[Box, str]:
        """The crop's box and interpolation."""
        box = self.box(width, height, rng)
        return box, self.interpolations[int(rng.integers(len(self.interpolations)))]

    def reduction(self, width: int, height: int) -> int:
        """By how much such a photo can be shrunk beforehand: the least crop is still larger."""
        narrow = min(self.aspect[0], 1 / self.aspect[1])
        return reduction(sqrt(self.area[0] * width * height * narrow), self.size)

    def box(self, width: int, height: int, rng: np.random.Generator) -> Box:
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

    def __call__(self, image: Photo | CodedPhoto, rng: np.random.Generator) -> Photo:
        side = margin(self.size)
        squashed = resize(image, (0, 0, *size_of(image)), side, self.interpolation)
        left, top = map(int, rng.integers(side - self.size + 1, size=2))
        if isinstance(squashed, np.ndarray):
            return squashed[top : top + self.size, left : left + self.size]
        return squashed.crop((left, top, left + self.size, top + self.size))

    def reduction(self, width: int, height: int) -> int:
        """By how much such a photo can be shrunk beforehand: it is still larger than its crop."""
        return reduction(min(width, height), margin(self.size))


@dataclass(frozen=True)
class Mirror:
    def __call__(self, image: Photo, rng: np.random.Generator) -> Photo:
        if not self.drawn(rng):
            return image
        return mirrored(image) if isinstance(image, np.ndarray) else ImageOps.mirror(image)

    def drawn(self, rng: np.random.Generator) -> bool:
        return bool(rng.random() < 0.5)


@dataclass(frozen=True)
class Photometric:
    """Brightness, contrast and colour in random order, each by a factor from `factors`."""

    factors: tuple[float, float] = (0.5, 1.5)

    def __call__(self, image: Photo, rng: np.random.Generator) -> Photo:
        image = as_image(image)
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

    def __call__(self, image: Photo, rng: np.random.Generator) -> Photo:
        amounts = rng.normal(0, self.deviation, size=3) * LIGHTING_VALUES
        shift = 255 * (LIGHTING_VECTORS @ amounts)
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
        self, image: Photo | CodedPhoto, epoch: int, index: int, side: int | None = None
    ) -> Photo:
        """A photo, augmented; `side` takes the place of the first crop's own.

        Raises DamagedError for a coded photo that is damaged; it must first be cropped.
        """
        rng = self.numbers(epoch, index)
        steps, crop = self.steps, self.first_crop
        if crop:
            crop, steps = replace(crop, size=side or crop.size), steps[1:]
            image = crop(image, rng)
        assert not isinstance(image, CodedPhoto)
        for step in steps:
            image = step(image, rng)
        return image

    def cut(
        self, image: Photo | CodedPhoto, epoch: int, index: int, side: int | None = None
    ) -> Cut:
        """What `device` makes the crop of, by the same random numbers: the same box and mirroring.

        For steps that are a random resized crop, bilinear, and mirroring.  Raises DamagedError.
        """
        rng = self.numbers(epoch, index)
        crop, *rest = self.steps
        assert isinstance(crop, RandomResizedCrop)
        box, interpolation = crop.drawn(*size_of(image), rng)
        assert interpolation == "bilinear"
        mirrored = False
        for step in rest:
            assert isinstance(step, Mirror)
            mirrored ^= step.drawn(rng)
        return cut_out(image, box, side or crop.size, mirrored)

    def numbers(self, epoch: int, index: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, epoch, index))


def mirror_if_allowed(p: Preprocessing) -> tuple[Step, ...]:
    return (Mirror(),) if p.mirror else ()


def as_image(photo: Photo) -> Image.Image:
    return photo if isinstance(photo, Image.Image) else Image.fromarray(photo)


def size_of(photo: Photo | CodedPhoto) -> tuple[int, int]:
    """Width and height in pixels."""
    return (photo.shape[1], photo.shape[0]) if isinstance(photo, np.ndarray) else photo.size


def resize(photo: Photo | CodedPhoto, box: Box, side: int, interpolation: str) -> Photo:
    """The pixels in the box as a square of that side."""
    if isinstance(photo, np.ndarray | CodedPhoto):
        return crop_resized(photo, box, (side, side), interpolation)
    return photo.resize((side, side), INTERPOLATIONS[interpolation], box=box)


def reduction(side: float, target: int) -> int:
    """The largest of 1, 2, 4, 8 by which a side can be divided and be `target` long or longer."""
    return max(factor for factor in (1, 2, 4, 8) if factor == 1 or side >= factor * target)
