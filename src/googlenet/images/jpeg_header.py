"""What a JPEG's header says, where that is little enough to be read without Pillow."""

from __future__ import annotations

import struct
from typing import NamedTuple

from PIL import Image

from googlenet.images.color import srgb_transform
from googlenet.images.decode import EXIF_TRANSPOSE

BASELINE = (0xC0, 0xC1)
SCAN, APP2, APP1 = 0xDA, 0xE2, 0xE1
# Segments that say nothing of colors or orientation: tables, restarts, comments, JFIF, and what
# programs leave for themselves.  How Adobe's programs code the colors (EE) the decoder reads.
IGNORED_SEGMENTS = frozenset({0xDB, 0xC4, 0xDD, 0xFE, 0xE0, *range(0xE3, 0xF0)})
EXIF, ICC = b"Exif\0\0", b"ICC_PROFILE\0"
ORIENTATION, SHORT = 0x0112, 3


class BaselineHeader(NamedTuple):
    """Pixels as they are stored, and what turns them upright."""

    width: int
    height: int
    transpose: Image.Transpose | None


def parse_baseline_jpeg(content: bytes) -> BaselineHeader | None:
    """The header of a baseline JPEG of three colors, in sRGB; None where there is more to it.

    That is: another kind of JPEG, several scans, a profile of other colors, an orientation that
    is not where it is expected, or anything unknown.
    """
    at, size, transpose, exif = 2, None, None, False
    try:
        while content[at] == 0xFF:
            marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4])
            if marker == SCAN:
                return BaselineHeader(*size, transpose) if size and content[at + 4] == 3 else None
            segment = content[at + 4 : at + 2 + length]
            if marker in BASELINE:
                if size or segment[0] != 8 or segment[5] != 3:
                    return None
                height, width = struct.unpack_from(">HH", segment, 1)
                size = (width, height)
            elif marker == APP1 and segment.startswith(EXIF) and not exif:
                exif, transpose = True, EXIF_TRANSPOSE.get(orientation(segment[len(EXIF) :]))
            elif marker == APP1:
                if segment.startswith(EXIF) or b"Orientation" in segment:
                    return None
            elif marker == APP2:
                if not of_srgb(segment):
                    return None
            elif marker not in IGNORED_SEGMENTS:
                return None
            at += 2 + length
    except (IndexError, ValueError, struct.error):
        pass  # it ends there, or only Pillow can say
    return None


def orientation(exif: bytes) -> int:
    """The orientation that EXIF gives, 1 where it gives none.

    Raises ValueError or struct.error where it is not written as it should be.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        raise ValueError("no EXIF")
    (directory,) = struct.unpack_from(f"{order}I", exif, 4)
    (count,) = struct.unpack_from(f"{order}H", exif, directory)
    found = []
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, kind, values, value = struct.unpack_from(f"{order}HHIH", exif, entry)
        if tag == ORIENTATION:
            if (kind, values) != (SHORT, 1):
                raise ValueError("an orientation is one short number")
            found.append(value)
    if len(found) > 1:
        raise ValueError("several orientations")
    return found[0] if found else 1


def of_srgb(segment: bytes) -> bool:
    """Whether a segment is a whole color profile that leaves RGB as it is."""
    whole = segment.startswith(ICC) and segment[len(ICC) : len(ICC) + 2] == b"\1\1"
    return whole and srgb_transform(segment[len(ICC) + 2 :], "RGB") is None
