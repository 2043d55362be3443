"""JPEGs straight into arrays by libjpeg-turbo (the package simplejpeg), faster than by Pillow.

What an image is and which are refused is decided as in `decode`.  The pixels are those of Pillow,
which uses the same library, to within a level, unless the image is decoded at a half, a quarter
or an eighth of its size because every crop of it will be shrunk by more.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from googlenet.images.archived import ArchivedImage
from googlenet.images.color import srgb_transform, to_srgb
from googlenet.images.decode import (
    EXIF_TRANSPOSE,
    MAX_ASPECT,
    MAX_BYTES,
    MAX_SCANS,
    QUIET,
    Source,
    check_pixels,
    count_scans,
    decode,
    open_image,
    wrap_error,
)
from googlenet.images.jpeg_header import parse_baseline_jpeg
from googlenet.images.pixel_limit import max_pixels
from googlenet.runtime.errors import GoogLeNetError

Pixels = NDArray[np.uint8]  # (H, W, 3), RGB
DecodedImage = Image.Image | Pixels
DctScale = Callable[[int, int], int]  # (width, height) -> 1, 2, 4 or 8


def available() -> bool:
    return find_spec("simplejpeg") is not None


def require() -> None:
    """Raises GoogLeNetError where the package is missing."""
    if not available():
        raise GoogLeNetError("--decoder turbo needs simplejpeg: pip install 'googlenet[fast]'")


def load_image(source: Source) -> DecodedImage:
    """An image at full size, by libjpeg-turbo where simplejpeg is installed, else by Pillow.

    This is what prediction, evaluation, export and the service decode with.
    Raises ImageError, which names the file, for whatever cannot be decoded, the same with both.
    """
    return decode_turbo(source) if available() else decode(source)


def decode_turbo(source: Source, dct_scale: DctScale = lambda width, height: 1) -> DecodedImage:
    """The image as an array; as `decode` gives it where it is not a JPEG of three colors.

    dct_scale: by how much an image of that size may be shrunk in decoding.
    Raises ImageError, which names the file, for whatever cannot be decoded.
    """
    content = read_jpeg(source)
    try:
        pixels = decode_content(content, dct_scale) if content else None
    except Exception as error:  # as in `decode`
        raise wrap_error(source, error) from error
    return decode(source) if pixels is None else pixels


def read_jpeg(source: Source) -> bytes | None:
    """The file's bytes; None where `decode` is to read them or to refuse them."""
    if isinstance(source, ArchivedImage):
        content = source.read()
    elif isinstance(source, str | Path):
        content = read_file(source)
    elif isinstance(source, bytes):
        content = source
    else:
        return None
    usable = content.startswith(b"\xff\xd8") and len(content) <= MAX_BYTES
    return content if usable and count_scans(content) <= MAX_SCANS else None


def read_file(path: str | Path) -> bytes:
    """The file's bytes; empty where `decode` refuses it without reading, and says why."""
    try:
        status = os.stat(path)  # noqa: PTH116 - three times as fast as Path.stat
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            return b""
        with open(path, "rb") as file:  # noqa: PTH123 - Path parses the path again
            return file.read()
    except OSError:
        return b""


def decode_content(content: bytes, dct_scale: DctScale) -> Pixels | None:
    """The pixels of a JPEG, upright; None where `decode` has to say what is wrong with it."""
    header = parse_baseline_jpeg(content)
    if header is None:
        return decode_with_profile(content, dct_scale)
    width, height, transpose = header
    shorter, longer = sorted((width, height))
    if not 0 < longer <= MAX_ASPECT * shorter or width * height > max_pixels():
        return None
    return decode_upright(content, width, height, transpose, dct_scale)


def decode_with_profile(content: bytes, dct_scale: DctScale) -> Pixels | None:
    """A JPEG with a color profile, several scans or the like; None where it is not of RGB."""
    with QUIET, open_image(content) as opened:
        if opened.width * opened.height > max_pixels():
            return None
        check_pixels(opened)
        if opened.mode != "RGB":
            return None
        try:
            transpose = EXIF_TRANSPOSE.get(opened.getexif().get(ExifTags.Base.Orientation) or 1)
        except Exception:  # damaged EXIF: the pixels are sound
            transpose = None
        profile = opened.info.get("icc_profile")
        pixels = decode_upright(content, *opened.size, transpose, dct_scale)
    if (
        pixels is not None
        and isinstance(profile, bytes)
        and srgb_transform(profile, "RGB") is not None
    ):
        return np.asarray(to_srgb(Image.fromarray(pixels), profile))
    return pixels


def decode_upright(
    content: bytes,
    width: int,
    height: int,
    transpose: Image.Transpose | None,
    dct_scale: DctScale,
) -> Pixels | None:
    """The pixels of a JPEG of that size, turned upright; None for damage, wherever it is."""
    from simplejpeg import decode_jpeg

    scale = dct_scale(width, height)
    width, height = -(-width // scale), -(-height // scale)
    try:
        pixels = np.asarray(
            decode_jpeg(content, "RGB", min_width=width, min_height=height, min_factor=scale)
        )
    except ValueError:
        return None
    if pixels.shape != (height, width, 3):
        return None
    return pixels if transpose is None else np.asarray(Image.fromarray(pixels).transpose(transpose))


def size_of(image: DecodedImage) -> tuple[int, int]:
    """Width and height in pixels."""
    return (image.shape[1], image.shape[0]) if isinstance(image, np.ndarray) else image.size


def as_pillow(image: DecodedImage) -> Image.Image:
    return image if isinstance(image, Image.Image) else Image.fromarray(image)
