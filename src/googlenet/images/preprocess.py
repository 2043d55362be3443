"""The preprocessing value: what happens to an image between decoding and the network.

One value, saved in the model file, is used in training, evaluation, prediction and export.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from googlenet.images import pixel_kernels
from googlenet.runtime.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "area": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
MODES = ("crop", "squash", "letterbox")
ORDERS = {"RGB": 3, "BGR": 3, "L": 1}

# Mean and standard deviation of ImageNet's training images, as commonly used.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
LUMA_MEAN = (117.0,)  # theirs too, of the luma
LUMA_SCALE = (1 / 57.5,)

RESIZE_RATIO = 256 / 224  # the paper's images to its crops
# Where the model file's key is not the attribute's name.
JSON_KEYS = {"channel_order": "order", "resize_size": "resize", "hflip": "mirror"}


def resize_size(size: int, factor: float = RESIZE_RATIO) -> int:
    """The side to which an image is resized before crops of `size`: 256 for the paper's 224."""
    return round(size * factor)


@dataclass(frozen=True)
class Preprocessing:
    """How pixels become numbers.

    size: side of the square that the network sees, in pixels.
    resize_size: side to which the image is resized before cropping: its shorter side in mode
        "crop", both sides in "squash", its longer side (then padded) in "letterbox".
    interpolation: always antialiased, but for "nearest".
    channel_order: channels and their order, "RGB", "BGR" or "L" (luma).
    mean, scale: per channel in that order; the network sees (pixel − mean) · scale, pixel 0–255.
    hflip: whether a mirrored image is still of its class (no for digits and text).
    """

    size: int = 224
    resize_size: int = 256
    mode: str = "crop"
    interpolation: str = "bilinear"
    channel_order: str = "RGB"
    mean: tuple[float, ...] = IMAGENET_MEAN
    scale: tuple[float, ...] = tuple(1 / std for std in IMAGENET_STD)
    hflip: bool = True

    def __post_init__(self) -> None:
        check("mode", self.mode, MODES)
        check("interpolation", self.interpolation, tuple(INTERPOLATIONS))
        check("order", self.channel_order, tuple(ORDERS))
        if not 1 <= self.size <= self.resize_size <= 8192:
            raise UsageError(
                f"size and resize must be 1 ≤ size ≤ resize ≤ 8192, "
                f"got {self.size}, {self.resize_size}"
            )
        if not len(self.mean) == len(self.scale) == self.channels:
            raise UsageError(
                f"mean and scale must have {self.channels} values for order {self.channel_order}, "
                f"got {self.mean} and {self.scale}"
            )

    @property
    def channels(self) -> int:
        return ORDERS[self.channel_order]

    def resize(self, image: Image.Image, side: int) -> Image.Image:
        """The whole image at the scale at which crops are cut from it, by this value's mode."""
        inner = self.resized_size(image.size, side)
        scaled = image.resize(inner, INTERPOLATIONS[self.interpolation])
        if self.mode != "letterbox":
            return scaled
        padded = Image.new("RGB", (side, side), self.padding_color())
        padded.paste(scaled, ((side - inner[0]) // 2, (side - inner[1]) // 2))
        return padded

    def resized_size(self, size: tuple[int, int], side: int) -> tuple[int, int]:
        """Width and height of the image itself, any padding aside, after `resized`."""
        if self.mode == "squash":
            return side, side
        if self.mode == "crop":
            return shorter_to(size, side)
        factor = side / max(size)
        return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))

    def padding_color(self) -> tuple[int, int, int]:
        """The mean as a color, which the network sees as zero."""
        red, green, blue = (
            min(255, max(0, round(value)))
            for value in (self.mean * 3 if self.channels == 1 else self.mean)[:3]
        )
        return (red, green, blue) if self.channel_order != "BGR" else (blue, green, red)

    def pixels(self, crop: Image.Image | NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A crop in the network's channels and order: (size, size, channels) uint8."""
        if self.channel_order == "L":
            image = crop if isinstance(crop, Image.Image) else Image.fromarray(crop)
            return np.asarray(image.convert("L"))[:, :, None]
        rgb = np.asarray(crop)
        return rgb[:, :, ::-1] if self.channel_order == "BGR" else rgb

    def normalize(self, pixels: Tensor) -> Tensor:
        """(N, H, W, C) uint8 -> (N, C, H, W) float32 in channels-last memory."""
        import torch

        mean = torch.tensor(self.mean, device=pixels.device)
        scale = torch.tensor(self.scale, device=pixels.device)
        found = pixel_kernels.normalized(pixels, mean, scale)
        if found is not None:
            return found.permute(0, 3, 1, 2)
        # In place: fresh memory for each step costs three times as much as the arithmetic.
        return pixels.float().sub_(mean).mul_(scale).permute(0, 3, 1, 2)

    def to_json(self) -> dict[str, Any]:
        return {JSON_KEYS.get(name, name): value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Preprocessing:
        """The value that `to_json` wrote.  Raises UsageError for one that breaks its rules."""
        if not isinstance(values, Mapping):
            raise UsageError(f"preprocessing must be an object, got {values!r}")
        found: dict[str, Any] = {}
        for name, default in asdict(cls()).items():
            key = JSON_KEYS.get(name, name)
            if key not in values:
                continue
            value, kind = values[key], type(default)
            if kind is tuple:
                value = parse_floats(key, value)
            elif type(value) is not kind:
                raise UsageError(
                    f"preprocessing {key} must be of type {kind.__name__}, got {value!r}"
                )
            found[name] = value
        return cls(**found)


def parse_floats(name: str, value: Any) -> tuple[float, ...]:
    """A list of finite numbers.  Raises UsageError for anything else."""
    with suppress(OverflowError):  # a whole number may be too large to be a float
        if isinstance(value, list) and all(type(n) in (int, float) and isfinite(n) for n in value):
            return tuple(map(float, value))
    raise UsageError(f"preprocessing {name} must be a list of numbers, got {value!r}")


def check(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise UsageError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")


def resize_shorter(image: Image.Image, side: int, interpolation: str) -> Image.Image:
    """The image with its shorter side `side` pixels long and its aspect ratio kept."""
    return image.resize(shorter_to(image.size, side), INTERPOLATIONS[interpolation])


def shorter_to(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height with the shorter of them `side` and their ratio kept."""
    factor = side / min(size)
    return max(side, round(size[0] * factor)), max(side, round(size[1] * factor))
