"""How many pixels an image may declare, and which larger JPEGs fit the same memory.

Cameras of 108 and 200 megapixels write JPEGs of one scan, which libjpeg decodes at half their
size row by row, without holding the whole.  Of several scans, as in a progressive JPEG, it keeps
every coefficient (up to six bytes a pixel) until the last, at any scale.
"""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING

from googlenet.runtime.errors import UsageError

if TYPE_CHECKING:  # the command line checks the variable before any verb, also those without images
    from PIL import Image

MAX_PIXELS = 89_478_485  # Pillow's own limit: a quarter of a gigabyte as RGB
VARIABLE = "GOOGLENET_MAX_PIXELS"
HALVED = 4  # times the limit, which a JPEG of one scan may have: half as wide and half as high
SCAN = 0xDA
FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})  # of Huffman or arithmetic coding
ONE_SCAN_FRAMES = frozenset({0xC0, 0xC1, 0xC9})  # not progressive


def max_pixels() -> int:
    """The limit, or what GOOGLENET_MAX_PIXELS says.  Raises UsageError for anything else."""
    text = os.environ.get(VARIABLE, str(MAX_PIXELS))
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise UsageError(f"{VARIABLE} must be a positive whole number, got {text!r}")
    return int(text)


def halve_large_jpeg(image: Image.Image) -> None:
    """Have an opened JPEG decoded at half its size where that makes it fit the limit.

    Every image below the limit, and every other kind, stays as it is.
    """
    width, height = image.size
    stream = getattr(image, "fp", None)
    if (
        max_pixels() < width * height <= HALVED * max_pixels()
        and image.format in ("JPEG", "MPO")
        and stream is not None
        and has_one_scan(stream)
    ):
        image.draft(None, (width // 2, height // 2))


def has_one_scan(stream: IO[bytes]) -> bool:
    """Whether the first scan of a JPEG has all components, finished; read from its header."""
    here, components = stream.tell(), 0
    stream.seek(2)
    try:
        while len(head := stream.read(4)) == 4 and head[0] == 0xFF:
            marker, length = head[1], int.from_bytes(head[2:]) - 2
            segment = stream.read(length) if length > 0 else b""
            if marker == SCAN:
                return bool(segment) and segment[0] == components
            if marker in FRAMES and len(segment) > 5:
                components = segment[5] if marker in ONE_SCAN_FRAMES else 0
    finally:
        stream.seek(here)
    return False
