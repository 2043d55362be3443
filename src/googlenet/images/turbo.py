"""JPEGs straight into arrays by libjpeg-turbo (the package simplejpeg), for training.

What a photo is and which are refused is decided as in `decode`; the pixels are those of Pillow,
which uses the same library, to within a level, unless the photo is decoded at a half, a quarter
or an eighth of its size because every crop of it will be shrunk by more.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image
from torch import Tensor
from torch.nn.functional import interpolate

from googlenet.errors import GoogLeNetError
from googlenet.images.decode import (
    MAX_ASPECT,
    MAX_BYTES,
    MAX_PIXELS,
    QUIET,
    TURNS,
    Source,
    decode,
    named,
    open_photo,
    refuse_bomb,
    srgb,
    srgb_transform,
)
from googlenet.images.preprocess import INTERPOLATIONS
from googlenet.images.stored import StoredPhoto
from googlenet.native import photos

Photo = Image.Image | NDArray[np.uint8]  # arrays are (H, W, 3), RGB
Reduction = Callable[[int, int], int]  # (width, height) -> 1, 2, 4 or 8

ANTIALIASED = photos.INTERPOLATIONS  # what PyTorch computes on bytes
# Segments that say nothing of colours or orientation: JFIF, tables, restarts, comments.
HARMLESS = frozenset((0xE0, 0xDB, 0xC4, 0xDD, 0xFE))
BASELINE = (0xC0, 0xC1)
SCAN = 0xDA


def available() -> bool:
    return find_spec("simplejpeg") is not None


def require() -> None:
    """Raises GoogLeNetError where the package is missing."""
    if not available():
        raise GoogLeNetError("--decoder turbo needs simplejpeg: pip install 'googlenet[fast]'")


def decode_turbo(source: Source, reduction: Reduction = lambda width, height: 1) -> Photo:
    """The photo as an array; as `decode` gives it where it is no JPEG of three colours.

    reduction: by how much a photo of that size may be shrunk in decoding.
    Raises ImageError, which names the file, for whatever cannot be decoded.
    """
    if isinstance(source, StoredPhoto):
        content = source.read()
    elif isinstance(source, str | Path):
        content = read_file(source)
    elif isinstance(source, bytes):
        content = source
    else:
        return decode(source)
    if not content.startswith(b"\xff\xd8"):
        return decode(source)
    try:
        size = plain_size(content)
        if size is None:
            photo = decode_marked(content, reduction)
        else:
            photo = decode_jpeg(content, *size, reduction) if acceptable(*size) else None
    except Exception as error:  # as in `decode`
        raise named(source, error) from error
    return decode(source) if photo is None else photo


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


def plain_size(content: bytes) -> tuple[int, int] | None:
    """Width and height of a baseline JPEG of three colours; None where there is more to it.

    That is: another kind of JPEG, or an orientation, a profile or anything else unknown in it.
    """
    at, size = 2, None
    try:
        while content[at] == 0xFF:
            marker = content[at + 1]
            if marker == SCAN:
                return size
            if marker in BASELINE:
                if content[at + 4] != 8 or content[at + 9] != 3:
                    return None
                height, width = struct.unpack_from(">HH", content, at + 5)
                size = (width, height)
            elif marker not in HARMLESS:
                return None
            at += 2 + int.from_bytes(content[at + 2 : at + 4])
    except (IndexError, struct.error):
        pass  # it ends there
    return None


def decode_jpeg(
    content: bytes, width: int, height: int, reduction: Reduction
) -> NDArray[np.uint8] | None:
    """The stored rows and columns; None where something is wrong with the file."""
    from simplejpeg import decode_jpeg

    factor = reduction(width, height)
    least = {"min_width": -(-width // factor), "min_height": -(-height // factor)}
    try:
        return np.asarray(decode_jpeg(content, "RGB", min_factor=factor, **least))
    except ValueError:
        return None


def decode_marked(content: bytes, reduction: Reduction) -> Photo | None:
    """A JPEG with an orientation, a profile, several scans; None where it is not of RGB."""
    with QUIET, open_photo(content) as opened:
        refuse_bomb(opened)
        if opened.mode != "RGB":
            return None
        try:
            turn = TURNS.get(opened.getexif().get(ExifTags.Base.Orientation) or 1)
        except Exception:  # damaged EXIF: the pixels are sound
            turn = None
        profile = opened.info.get("icc_profile")
        pixels = decode_jpeg(content, *opened.size, reduction)
    if pixels is None:
        return None
    if turn is not None:
        pixels = np.asarray(Image.fromarray(pixels).transpose(turn))
    if isinstance(profile, bytes) and srgb_transform(profile, "RGB") is not None:
        pixels = np.asarray(srgb(Image.fromarray(pixels), profile))
    return pixels


def crop_resized(
    pixels: NDArray[np.uint8],
    box: tuple[int, int, int, int],
    size: tuple[int, int],
    interpolation: str,
) -> NDArray[np.uint8]:
    """The crop in `box` (left, top, right, bottom) at `size` (width, height), antialiased.

    Within a level of Pillow's for the crop alone; Pillow's `resize(box=…)` lets the pixels
    around the box have their part in the outermost ones.
    """
    left, top, right, bottom = box
    crop = pixels[top:bottom, left:right]
    if interpolation not in ANTIALIASED:
        image = Image.fromarray(np.ascontiguousarray(crop))
        return np.asarray(image.resize(size, INTERPOLATIONS[interpolation]))
    found = photos.resized(crop, size, interpolation)
    if found is not None:
        return found
    resized = interpolate(as_tensor(crop), size[::-1], mode=interpolation, antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


def mirrored(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Left and right exchanged; NumPy takes ten times as long to copy a reversed view."""
    found = photos.mirrored(pixels)
    if found is not None:
        return found
    return torch.flip(as_tensor(pixels), [3])[0].permute(1, 2, 0).numpy()


def as_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) as (1, 3, H, W), channels last, the same memory where that may be written to."""
    # PyTorch warns of tensors of other memory.
    writeable = pixels if pixels.flags.writeable else pixels.copy()
    return torch.from_numpy(writeable).permute(2, 0, 1)[None]
