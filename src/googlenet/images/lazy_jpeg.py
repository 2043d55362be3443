"""JPEGs straight into arrays by libjpeg-turbo (the package simplejpeg), for training.

What a photo is and which are refused is decided as in `decode`; the pixels are those of Pillow,
which uses the same library, to within a level, unless the photo is decoded at a half, a quarter
or an eighth of its size because every crop of it will be shrunk by more.  Where a crop is taken of
a photo, its pixels alone are decoded.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from googlenet.images import jpeg_region, pixel_kernels
from googlenet.images.archived import ArchivedImage
from googlenet.images.decode import (
    EXIF_TRANSPOSE,
    MAX_ASPECT,
    MAX_BYTES,
    MAX_PIXELS,
    MAX_SCANS,
    QUIET,
    Source,
    check_pixels,
    decode,
    named,
    open_image,
    srgb_transform,
    to_srgb,
)
from googlenet.images.jpeg_header import parse_baseline_jpeg
from googlenet.images.preprocess import INTERPOLATIONS
from googlenet.runtime.errors import GoogLeNetError

if TYPE_CHECKING:  # decoding alone needs no PyTorch
    from torch import Tensor

Photo = Image.Image | NDArray[np.uint8]  # arrays are (H, W, 3), RGB
Reduction = Callable[[int, int], int]  # (width, height) -> 1, 2, 4 or 8
Box = jpeg_region.Box

ANTIALIASED = pixel_kernels.INTERPOLATIONS  # what PyTorch computes on bytes


def available() -> bool:
    return find_spec("simplejpeg") is not None


def require() -> None:
    """Raises GoogLeNetError where the package is missing."""
    if not available():
        raise GoogLeNetError("--decoder turbo needs simplejpeg: pip install 'googlenet[fast]'")


class DamagedError(Exception):
    """A JPEG with something wrong in it, of which `decode` has to say what."""


@dataclass(frozen=True)
class LazyJpeg:
    """A JPEG of which the pixels that are asked for are decoded, upright.

    stored: width and height of its rows and columns as they are decoded, at a `factor`th of
    their size; turn: what turns them upright.
    """

    content: bytes
    stored: tuple[int, int]
    factor: int
    turn: Image.Transpose | None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, upright."""
        return self.stored[::-1] if self.turn in SIDEWAYS else self.stored

    def part(self, box: Box) -> NDArray[np.uint8]:
        """The pixels in the box.  Raises DamagedError for damage anywhere in the photo."""
        left, top, right, bottom = box if self.turn is None else stored_box(box, self)
        try:
            if jpeg_region.available():
                inner = (left, top, right, bottom)
                pixels = jpeg_region.region(self.content, self.factor, self.stored, inner)
            else:
                pixels = self.by_simplejpeg()[top:bottom, left:right]
        except ValueError as error:
            raise DamagedError from error
        if self.turn is None:
            return pixels
        return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).transpose(self.turn))

    def whole(self) -> NDArray[np.uint8]:
        return self.part((0, 0, *self.size))

    def by_simplejpeg(self) -> NDArray[np.uint8]:
        """All of the stored pixels.  Raises ValueError for damage."""
        from simplejpeg import decode_jpeg

        width, height = self.stored
        least = {"min_width": width, "min_height": height, "min_factor": self.factor}
        pixels = np.asarray(decode_jpeg(self.content, "RGB", **least))
        if pixels.shape != (height, width, 3):
            raise ValueError("the JPEG is of another size")
        return pixels


# Turns that exchange width and height.
SIDEWAYS = (
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
)
# Turns after which what was left, or up, in the stored photo is right, or down.
FROM_RIGHT = (
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_90,
    Image.Transpose.TRANSVERSE,
)
FROM_BELOW = (
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
)


def stored_box(box: Box, photo: LazyJpeg) -> Box:
    """Where the box of an upright photo is in the stored one."""
    width, height = photo.stored
    left, top, right, bottom = box
    if photo.turn in SIDEWAYS:
        left, top, right, bottom = top, left, bottom, right
    if photo.turn in FROM_RIGHT:
        left, right = width - right, width - left
    if photo.turn in FROM_BELOW:
        top, bottom = height - bottom, height - top
    return left, top, right, bottom


def decode_turbo(source: Source, reduction: Reduction = lambda width, height: 1) -> Photo:
    """The photo as an array; as `decode` gives it where it is no JPEG of three colors.

    reduction: by how much a photo of that size may be shrunk in decoding.
    Raises ImageError, which names the file, for whatever cannot be decoded.
    """
    photo = open_jpeg(source, reduction)
    if not isinstance(photo, LazyJpeg):
        return photo
    try:
        return photo.whole()
    except DamagedError:
        return decode(source)


def open_jpeg(source: Source, reduction: Reduction) -> Photo | LazyJpeg:
    """As `decode_turbo`, but a JPEG without anything special in it is not decoded yet."""
    if isinstance(source, ArchivedImage):
        content = source.read()
    elif isinstance(source, str | Path):
        content = read_file(source)
    elif isinstance(source, bytes):
        content = source
    else:
        return decode(source)
    if not content.startswith(b"\xff\xd8") or len(content) > MAX_BYTES:
        return decode(source)
    if content.count(b"\xff\xda") > MAX_SCANS:  # as `decode` counts them
        return decode(source)
    try:
        header = parse_baseline_jpeg(content)
        if header is None:
            photo = decode_with_profile(content, reduction)
        elif acceptable(header.width, header.height):
            return coded(content, header.width, header.height, reduction, header.turn)
        else:
            photo = None
    except Exception as error:  # as in `decode`
        raise named(source, error) from error
    return decode(source) if photo is None else photo


def coded(
    content: bytes, width: int, height: int, reduction: Reduction, turn: Image.Transpose | None
) -> LazyJpeg:
    factor = reduction(width, height)
    return LazyJpeg(content, (-(-width // factor), -(-height // factor)), factor, turn)


def acceptable(width: int, height: int) -> bool:
    longer, shorter = max(width, height), min(width, height)
    return shorter > 0 and longer <= MAX_ASPECT * shorter and width * height <= MAX_PIXELS


def read_file(path: str | Path) -> bytes:
    """The file's bytes; none of what `decode` refuses without reading, which is its to say."""
    try:
        status = os.stat(path)  # noqa: PTH116 - three times as fast as Path.stat
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            return b""
        return Path(path).read_bytes()
    except OSError:
        return b""


def decode_with_profile(content: bytes, reduction: Reduction) -> Photo | None:
    """A JPEG with a profile, several scans or whatever; None where it is not of RGB."""
    with QUIET, open_image(content) as opened:
        check_pixels(opened)
        if opened.mode != "RGB":
            return None
        try:
            turn = EXIF_TRANSPOSE.get(opened.getexif().get(ExifTags.Base.Orientation) or 1)
        except Exception:  # damaged EXIF: the pixels are sound
            turn = None
        profile = opened.info.get("icc_profile")
        photo = coded(content, *opened.size, reduction, turn)
    try:
        pixels = photo.whole()
    except DamagedError:
        return None
    if isinstance(profile, bytes) and srgb_transform(profile, "RGB") is not None:
        pixels = np.asarray(to_srgb(Image.fromarray(pixels), profile))
    return pixels


def part_of(photo: NDArray[np.uint8] | LazyJpeg, box: Box) -> NDArray[np.uint8]:
    """The pixels in the box.  Raises DamagedError."""
    left, top, right, bottom = box
    return photo.part(box) if isinstance(photo, LazyJpeg) else photo[top:bottom, left:right]


def resized_crop(
    photo: NDArray[np.uint8] | LazyJpeg, box: Box, size: tuple[int, int], interpolation: str
) -> NDArray[np.uint8]:
    """The crop in `box` (left, top, right, bottom) at `size` (width, height), antialiased.

    Within a level of Pillow's for the crop alone; Pillow's `resize(box=…)` lets the pixels
    around the box have their part in the outermost ones.  Raises DamagedError.
    """
    crop = part_of(photo, box)
    if interpolation not in ANTIALIASED:
        image = Image.fromarray(np.ascontiguousarray(crop))
        return np.asarray(image.resize(size, INTERPOLATIONS[interpolation]))
    found = pixel_kernels.resized(crop, size, interpolation)
    if found is not None:
        return found
    from torch.nn.functional import interpolate

    resized = interpolate(as_tensor(crop), size[::-1], mode=interpolation, antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


def mirrored(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Left and right exchanged; NumPy takes ten times as long to copy a reversed view."""
    found = pixel_kernels.mirrored(pixels)
    if found is not None:
        return found
    import torch

    return torch.flip(as_tensor(pixels), [3])[0].permute(1, 2, 0).numpy()


def as_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) as (1, 3, H, W), channels last, the same memory where that may be written to."""
    import torch

    # PyTorch warns of tensors of other memory.
    writeable = pixels if pixels.flags.writeable else pixels.copy()
    return torch.from_numpy(writeable).permute(2, 0, 1)[None]
