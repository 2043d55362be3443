"""From the bytes that a client sent to what the network sees of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from googlenet.images.decode import ImageError, read_header
from googlenet.images.preprocess import Preprocessing
from googlenet.images.turbo_jpeg import load_image, size_of
from googlenet.images.view import center_view
from googlenet.serving.heap import trim_heap
from googlenet.serving.http_error import HTTPError

TRIM_HEAP_PIXELS = 4_000_000  # pixels: of an image after which memory is given back, some ms


@dataclass(frozen=True)
class Crop:
    """What the network sees: pixels (size, size, channels) uint8, of an image of that size."""

    pixels: NDArray[np.uint8]
    width: int
    height: int


def read_image_bytes(data: bytes, preprocessing: Preprocessing, max_pixels: int) -> Crop:
    """Decode and preprocess one image, as `Classifier.predict` does.

    Raises HTTPError: 415 for anything but an image of a known format, 413 for too many pixels,
    422 for one that cannot be decoded.  Its sentence says nothing of this machine.
    """
    crop = crop_of(data, preprocessing, max_pixels)
    if crop.width * crop.height > TRIM_HEAP_PIXELS:
        trim_heap()
    return crop


def crop_of(data: bytes, preprocessing: Preprocessing, max_pixels: int) -> Crop:
    try:
        header = read_header(data)
        if header.width * header.height > max_pixels:
            declared = f"{header.width}×{header.height}"
            raise HTTPError(413, f"an image may have {max_pixels} pixels, this has {declared}")
        image = load_image(data)
    except ImageError as error:
        raise http_error(error, max_pixels) from error
    pixels = np.ascontiguousarray(center_view(image, preprocessing))
    return Crop(pixels, *size_of(image))


def http_error(error: ImageError, max_pixels: int) -> HTTPError:
    """What a client is told of the decoder's error: its rules, not what Pillow met in the file."""
    match error.__cause__:
        case UnidentifiedImageError():
            return HTTPError(415, "this is not an image of a known format")
        case Image.DecompressionBombError():
            return HTTPError(413, f"an image may have {max_pixels} pixels, this has more")
        case ImageError() as rule:
            return HTTPError(422, str(rule))
    return HTTPError(422, "the image is damaged or incomplete")
