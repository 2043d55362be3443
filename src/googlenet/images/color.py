"""Colors of an ICC profile as sRGB."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform


SRGB_TOLERANCE = 2  # levels of 255: a profile that moves no color further is sRGB


# Modes of one gray channel; of the others, all but CMYK are converted from RGB.
GRAY_MODES = ("1", "L", "LA")


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """The colors that an ICC profile means as sRGB, in mode RGB; without transparency."""
    mode = "L" if image.mode in GRAY_MODES else "CMYK" if image.mode == "CMYK" else "RGB"
    transform = srgb_transform(profile, mode) if image.mode != "LAB" else None
    if transform is None:
        return image.convert("RGB")
    converted = transform.apply(image.convert(mode))
    converted.info.clear()
    return converted


@lru_cache(maxsize=16)
def srgb_transform(profile: bytes, mode: str) -> ImageCmsTransform | None:
    """From a profile's colors to sRGB.

    None where there is nothing to do: the profile is sRGB, damaged or not of that mode.
    Images of one camera share a profile, so this is rarely computed.
    """
    from PIL import ImageCms

    try:
        own = ImageCms.ImageCmsProfile(BytesIO(profile))
        target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        transform = ImageCms.ImageCmsTransform(own, target, mode, "RGB")
        colors = color_grid(mode)
        moved = np.asarray(transform.apply(colors), np.int16) - np.asarray(colors.convert("RGB"))
    except Exception:  # whatever is wrong with it: the image is shown without
        return None
    same = mode != "CMYK" and np.abs(moved).max() <= SRGB_TOLERANCE
    return None if same else transform


def color_grid(mode: str) -> Image.Image:
    """Colors all over the mode's space: 256 grays, or nine levels a channel."""
    bands = Image.getmodebands(mode)
    levels = np.linspace(0, 255, 256 if bands == 1 else 9).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(*[levels] * bands, indexing="ij"), -1).reshape(-1, bands)
    return Image.frombytes(mode, (len(grid), 1), grid.tobytes())
