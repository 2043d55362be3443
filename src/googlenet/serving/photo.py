"""From the bytes that a client sent to what the network sees of them."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from googlenet.images.decode import QUIET, ImageError, decode, name_of
from googlenet.images.preprocess import Preprocessing
from googlenet.images.views import VIEWS
from googlenet.serving.refusal import RefusalError

# Decoders that Pillow brings along; others (EPS, say) start programs.  JPEG finds MPO, too.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
# Each scan of a progressive JPEG goes over the whole photo, and costs its sender 60 bytes.
MAX_SCANS = 64
SCAN = b"\xff\xda"


@dataclass(frozen=True)
class Crop:
    """What the network sees: pixels (size, size, channels) uint8, of a photo of that size."""

    pixels: NDArray[np.uint8]
    width: int
    height: int


def read_photo(data: bytes, preprocessing: Preprocessing, max_pixels: int) -> Crop:
    """Decode and preprocess one photo, as `Classifier.predict` does.

    Raises RefusalError: 415 for what is no image of a known format, 413 for too many pixels,
    422 for one that cannot be decoded.  Its sentence says nothing of this machine.
    """
    refuse_before_decoding(data, max_pixels)
    try:
        photo = decode(data)
    except ImageError as error:
        # A rule of the decoder's own is told; what Pillow met in a damaged file is not.
        rule = str(error).removeprefix(f"{name_of(data)}: ")
        reason = "the photo is damaged or incomplete" if error.__cause__ else rule
        raise RefusalError(422, reason) from error
    view = next(VIEWS[1](photo, preprocessing))
    pixels = np.ascontiguousarray(preprocessing.pixels(view))
    return Crop(pixels, photo.width, photo.height)


def refuse_before_decoding(data: bytes, max_pixels: int) -> None:
    """What the photo's header tells.  Raises RefusalError."""
    try:
        with QUIET, Image.open(BytesIO(data), formats=FORMATS) as image:
            kind, (width, height) = image.format, image.size
    except UnidentifiedImageError as error:
        raise RefusalError(415, "this is no image of a known format") from error
    except Image.DecompressionBombError as error:
        raise RefusalError(
            413, f"a photo may have {max_pixels} pixels, this declares more"
        ) from error
    except Exception as error:  # whatever Pillow's plugins meet in a damaged header
        raise RefusalError(422, "the photo is damaged or incomplete") from error
    if width * height > max_pixels:
        raise RefusalError(
            413, f"a photo may have {max_pixels} pixels, this declares {width}×{height}"
        )
    if kind in ("JPEG", "MPO") and data.count(SCAN) > MAX_SCANS:
        raise RefusalError(422, f"a JPEG photo may have {MAX_SCANS} scans, this has more")
