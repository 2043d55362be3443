"""What one file of a data set is: its format and size, whether it decodes, what it looks like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from googlenet.checks.near_duplicates import SIDE, thumbnail
from googlenet.checks.problems import Problem
from googlenet.images.archived import ArchivedImage
from googlenet.images.decode import FORMATS, MAX_ASPECT, Header, ImageError, decode, read_header
from googlenet.runtime.errors import printable

TINY = 32  # pixels of the shorter side; below, no thumbnail can be compared either
DARK = 32  # level of 255 below which the brightest pixel is
EXTREME_ASPECT = 4  # longer side : shorter side; three quarters lie outside of a square crop

Source = Path | NDArray[np.uint8] | ArchivedImage


@dataclass(frozen=True)
class ImageReport:
    """One file: `error` says why it cannot be read; the rest is None where it is not known."""

    error: str | None = None
    header: Header | None = None
    digest: bytes | None = None  # of the file, byte for byte
    brightest: int | None = None  # level of 255
    thumbnail: NDArray[np.uint8] | None = None  # None for a tiny image too


def examine(source: Source) -> ImageReport:
    """Read and decode one image."""
    header = None
    try:
        if isinstance(source, Path):
            header = read_header(source)
        image = decode(source)
        digest = digest_of(source)
    except ImageError as error:
        return ImageReport(str(error).removeprefix(f"{printable(str(source))}: "), header)
    except OSError as error:  # gone since it was decoded
        return ImageReport(f"cannot be read ({error.strerror})", header)
    if isinstance(source, np.ndarray):
        header = Header("array", *image.size)
    if isinstance(source, ArchivedImage):  # its name is that of the file that was packed
        header = Header("packed", *image.size)
    small = min(image.size) < SIDE
    brightest = max(high for _, high in cast("Sequence[tuple[int, int]]", image.getextrema()))
    return ImageReport(None, header, digest, brightest, None if small else thumbnail(image))


def digest_of(source: Source) -> bytes:
    if isinstance(source, Path):
        with source.open("rb") as file:
            return file_digest(file, "sha256").digest()
    if isinstance(source, ArchivedImage):
        return sha256(source.read()).digest()
    return sha256(repr(source.shape).encode() + source.tobytes()).digest()


def problems_of(name: str, image: ImageReport) -> list[Problem]:
    """What is wrong with an image by itself."""
    found = []
    if image.error is not None:
        found.append(Problem(name, "unreadable", image.error))
    if image.header is None:
        return found
    kind, width, height = image.header
    called = format_called(name)
    if image.error is None and called and called != kind and kind in FORMATS:
        found.append(Problem(name, "mislabelled", f"is {kind}, its name says {called}"))
    shorter, longer = sorted((width, height))
    if longer > EXTREME_ASPECT * shorter > 0:
        more = "" if longer <= MAX_ASPECT * shorter else ", too long to be used"
        found.append(Problem(name, "extreme-aspect", f"{width}×{height} pixels{more}"))
    if image.brightest is not None and image.brightest < DARK:
        detail = f"the brightest level is {image.brightest} of 255"
        found.append(Problem(name, "dark", detail))
    if image.error is None and shorter < TINY:
        found.append(Problem(name, "tiny", f"{width}×{height} pixels"))
    return found


def format_called(name: str) -> str | None:
    """The format that a file's name tells of."""
    extension = Path(name).suffix.lower()
    return next((kind for kind, names in FORMATS.items() if extension in names), None)
