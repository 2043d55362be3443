"""What training does to an image: small values, each a function of (image, random numbers).

Sources: section 6 of the paper; Howard 2013 (arXiv 1312.5402) for color jitter;
Krizhevsky et al. 2012, section 4.1, for the PCA noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, log, sqrt
from typing import TYPE_CHECKING, Protocol

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from googlenet.images import pixel_kernels
from googlenet.images.crop_source import Box, CropSource, take_crop_source
from googlenet.images.preprocess import INTERPOLATIONS, Preprocessing, resize_size
from googlenet.images.turbo_jpeg import DecodedImage, Pixels, as_pillow, size_of

if TYPE_CHECKING:
    from torch import Tensor


class Step(Protocol):
    """An image is a Pillow image, or an array (H, W, 3) of RGB where `turbo` decoded it."""

    def __call__(self, image: DecodedImage, rng: np.random.Generator) -> DecodedImage: ...


@dataclass(frozen=True)
class RandomResizedCrop:
    """A crop of random area and aspect ratio, resized to `size` by a random interpolation.

    scale: range of the fraction of the image's area; ratio: range of width/height, log-uniform.
    """

    size: int
    scale: tuple[float, float]
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolations: Sequence[str] = ("bilinear",)

    def __call__(self, image: DecodedImage, rng: np.random.Generator) -> DecodedImage:
        box, interpolation = self.sample(*size_of(image), rng)
        return resize(image, box, self.size, interpolation)

    def sample(self, width: int, height: int, rng: np.random.Generator) -> tuple[Box, str]:
        """The crop's box and interpolation."""
        box = self.box(width, height, rng)
        return box, self.interpolations[int(rng.integers(len(self.interpolations)))]

    def dct_scale(self, width: int, height: int) -> int:
        """By how much such an image can be shrunk beforehand: the least crop is still larger."""
        narrow = min(self.ratio[0], 1 / self.ratio[1])
        return dct_scale(sqrt(self.scale[0] * width * height * narrow), self.size)

    def box(self, width: int, height: int, rng: np.random.Generator) -> Box:
        """Left, top, right, bottom of the crop, in pixels."""
        for _ in range(10):
            area = width * height * rng.uniform(*self.scale)
            aspect = exp(rng.uniform(log(self.ratio[0]), log(self.ratio[1])))
            w, h = round(sqrt(area * aspect)), round(sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
                return left, top, left + w, top + h
        # A very long image has no such crop: take its center at the nearest allowed ratio.
        low, high = self.ratio
        w = min(width, max(1, round(height * high)))
        h = min(height, max(1, round(width / low)))
        left, top = (width - w) // 2, (height - h) // 2
        return left, top, left + w, top + h


@dataclass(frozen=True)
class RandomCrop:
    """BVLC's sampling: the whole image squashed to 256/224 of the size, a random crop of it."""

    size: int
    interpolation: str = "bilinear"

    def __call__(self, image: DecodedImage, rng: np.random.Generator) -> DecodedImage:
        side = resize_size(self.size)
        squashed = resize(image, (0, 0, *size_of(image)), side, self.interpolation)
        left, top = map(int, rng.integers(side - self.size + 1, size=2))
        if isinstance(squashed, np.ndarray):
            return squashed[top : top + self.size, left : left + self.size]
        return squashed.crop((left, top, left + self.size, top + self.size))

    def dct_scale(self, width: int, height: int) -> int:
        """By how much such an image can be shrunk beforehand: it is still larger than its crop."""
        return dct_scale(min(width, height), resize_size(self.size))


@dataclass(frozen=True)
class HorizontalFlip:
    def __call__(self, image: DecodedImage, rng: np.random.Generator) -> DecodedImage:
        if not self.sample(rng):
            return image
        return hflip(image) if isinstance(image, np.ndarray) else ImageOps.mirror(image)

    def sample(self, rng: np.random.Generator) -> bool:
        return bool(rng.random() < 0.5)


@dataclass(frozen=True)
class ColorJitter:
    """Brightness, contrast and color in random order, each by a factor from `factors`."""

    factors: tuple[float, float] = (0.5, 1.5)

    def __call__(self, image: DecodedImage, rng: np.random.Generator) -> DecodedImage:
        image = as_pillow(image)
        kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        for which in rng.permutation(len(kinds)):
            image = kinds[which](image).enhance(rng.uniform(*self.factors))
        return image


# Principal components of the colors of ImageNet's training images, for values 0–1, as
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

    def __call__(self, image: DecodedImage, rng: np.random.Generator) -> DecodedImage:
        amounts = rng.normal(0, self.deviation, size=3) * PCA_EIGENVALUES
        shift = 255 * (PCA_EIGENVECTORS @ amounts)
        shifted = np.asarray(image, dtype=np.float32) + shift.astype(np.float32)
        return Image.fromarray(shifted.round().clip(0, 255).astype(np.uint8))


@dataclass(frozen=True)
class Augmentation:
    """The steps in order; what they do to a sample depends on (seed, epoch, index) alone."""

    steps: tuple[Step, ...]
    seed: int

    def dct_scale(self, width: int, height: int) -> int:
        """By how much an image may be shrunk in decoding: 1 where the first step is not a crop."""
        first = self.first_crop
        return first.dct_scale(width, height) if first else 1

    @property
    def first_crop(self) -> RandomResizedCrop | RandomCrop | None:
        """The first step if it is a crop: the rest of the image is then not looked at."""
        first = self.steps[0] if self.steps else None
        return first if isinstance(first, RandomResizedCrop | RandomCrop) else None

    def __call__(
        self, image: DecodedImage, epoch: int, index: int, side: int | None = None
    ) -> DecodedImage:
        """An image, augmented; `side` takes the place of the first crop's own."""
        rng = self.rng_for(epoch, index)
        steps, crop = self.steps, self.first_crop
        if crop:
            crop, steps = replace(crop, size=side or crop.size), steps[1:]
            image = crop(image, rng)
        for step in steps:
            image = step(image, rng)
        return image

    def crop_source(
        self, image: DecodedImage, epoch: int, index: int, side: int | None = None
    ) -> CropSource:
        """What `device` makes the crop of, by the same random numbers: the same box and mirroring.

        For steps that are a random resized crop, bilinear, and mirroring.
        """
        rng = self.rng_for(epoch, index)
        crop, *rest = self.steps
        assert isinstance(crop, RandomResizedCrop)
        box, interpolation = crop.sample(*size_of(image), rng)
        assert interpolation == "bilinear"
        mirrored = False
        for step in rest:
            assert isinstance(step, HorizontalFlip)
            mirrored ^= step.sample(rng)
        return take_crop_source(image, box, side or crop.size, mirrored)

    def rng_for(self, epoch: int, index: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, epoch, index))


def flip_if_allowed(p: Preprocessing) -> tuple[Step, ...]:
    return (HorizontalFlip(),) if p.hflip else ()


def resize(image: DecodedImage, box: Box, side: int, interpolation: str) -> DecodedImage:
    """The pixels in the box as a square of that side."""
    if isinstance(image, np.ndarray):
        return resized_crop(image, box, (side, side), interpolation)
    return image.resize((side, side), INTERPOLATIONS[interpolation], box=box)


def resized_crop(image: Pixels, box: Box, size: tuple[int, int], interpolation: str) -> Pixels:
    """The crop in `box` (left, top, right, bottom) at `size` (width, height), antialiased.

    Within a level of Pillow's for the crop alone; Pillow's `resize(box=…)` lets the pixels
    around the box have their part in the outermost ones.
    """
    left, top, right, bottom = box
    crop = image[top:bottom, left:right]
    if interpolation not in pixel_kernels.INTERPOLATIONS:  # what PyTorch computes on bytes
        pillow = Image.fromarray(np.ascontiguousarray(crop))
        return np.asarray(pillow.resize(size, INTERPOLATIONS[interpolation]))
    resized = pixel_kernels.resize(crop, size, interpolation)
    if resized is not None:
        return resized
    from torch.nn.functional import interpolate

    tensor = interpolate(as_tensor(crop), size[::-1], mode=interpolation, antialias=True)
    return tensor[0].permute(1, 2, 0).numpy()


def hflip(pixels: Pixels) -> Pixels:
    """Left and right exchanged; NumPy takes ten times as long to copy a reversed view."""
    import torch

    return torch.flip(as_tensor(pixels), [3])[0].permute(1, 2, 0).numpy()


def as_tensor(pixels: Pixels) -> Tensor:
    """(H, W, 3) as (1, 3, H, W), channels last, the same memory where that may be written to."""
    import torch

    # PyTorch warns of tensors of other memory.
    writeable = pixels if pixels.flags.writeable else pixels.copy()
    return torch.from_numpy(writeable).permute(2, 0, 1)[None]


def dct_scale(side: float, target: int) -> int:
    """The largest of 1, 2, 4, 8 by which a side can be divided and be `target` long or longer."""
    return max(factor for factor in (1, 2, 4, 8) if factor == 1 or side >= factor * target)
