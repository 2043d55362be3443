"""JPEGs straight into arrays by libjpeg-turbo (the package simplejpeg), for training.

What a photo is and which are refused is decided as in `decode`; the pixels are those of Pillow,
which uses the same library, to within a level, unless the photo is decoded at a half, a quarter
or an eighth of its size because every crop of it will be shrunk by more.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image
from torch.nn.functional import interpolate

from googlenet.errors import GoogLeNetError
from googlenet.images.decode import (
    QUIET,
    TURNS,
    ImageError,
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

Photo = Image.Image | NDArray[np.uint8]  # arrays are (H, W, 3), RGB
Reduction = Callable[[int, int], int]  # (width, height) -> 1, 2, 4 or 8

ANTIALIASED = ("bilinear", "bicubic")  # what PyTorch computes on bytes
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
    size = plain_size(content)
    try:
        if size is not None and size[0] * size[1] > 0:
            pixels = decode_jpeg(content, *size, reduction)
            return decode(source) if pixels is None else pixels
        return decode_marked(content, reduction) or decode(source)
    except Exception as error:
        raise named(source, error) from error
