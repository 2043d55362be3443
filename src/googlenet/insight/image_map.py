"""From what the network saw of an image to the image's own pixels.

The image's own pixels are those of its file: (H, W) as they are stored, before the EXIF
orientation turns them, as `numpy.asarray(PIL.Image.open(path))` has them.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from googlenet.images.archived import ArchivedImage
from googlenet.images.decode import EXIF_TRANSPOSE, QUIET, Source, open_image
from googlenet.images.preprocess import Preprocessing
from googlenet.images.views import center_region

Map = NDArray[np.float32]

# What undoes a transposition; the others undo themselves.
INVERSE = {
    Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
    Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
}


def to_image(
    view_map: Map,
    size: tuple[int, int],
    p: Preprocessing,
    *,
    conserve: bool = False,
    grid: int | None = None,
) -> Map:
    """A map (h, w) of the center view as one of the whole upright image: (H, W) float32.

    size: the image's width and height.  Outside the view, which the network has not seen, the
    map is 0.  conserve: whether the map's sum is kept (of what lies within the image), in place
    of its values.  grid: the result is (grid, grid), whatever the image's size.
    """
    left, top, width, height = center_region(size, p)
    rows = axis_weights(view_map.shape[0], grid or size[1], top, height)
    columns = axis_weights(view_map.shape[1], grid or size[0], left, width)
    if conserve:
        rows, columns = (share(axis) for axis in (rows, columns))
    return (rows @ view_map @ columns.T).astype(np.float32)


def axis_weights(length: int, pixels: int, start: float, extent: float) -> NDArray[np.float64]:
    """(pixels, length): how `pixels` of an image, along one axis, are made of a map's places.

    The map covers the image's [start, start + extent), as fractions.  Bilinear, antialiased
    where places are narrower than pixels, as Pillow and PyTorch resize; 0 outside.
    """
    places = ((np.arange(pixels) + 0.5) / pixels - start) / extent * length
    inside = (places > 0) & (places < length)
    support = max(1.0, length / (extent * pixels))
    nearest = np.clip(places, 0.5, length - 0.5) if support == 1 else places
    distance = np.abs(nearest[:, None] - (np.arange(length) + 0.5))
    weights = np.maximum(0.0, 1 - distance / support) * inside[:, None]
    total = weights.sum(1, keepdims=True)
    return weights / np.where(total > 0, total, 1)


def share(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same with columns that add up to 1: a place's value is shared among its pixels."""
    total = weights.sum(0, keepdims=True)
    return weights / np.where(total > 0, total, 1)


def as_stored(upright: Map, turn: Image.Transpose | None) -> Map:
    """A map of the upright image as one of the pixels that `turn` made upright."""
    if turn is None:
        return upright
    return np.array(Image.fromarray(upright).transpose(INVERSE.get(turn, turn)))


def turn_of(source: Source) -> Image.Transpose | None:
    """What decoding turns the image by; None for nothing, and for what cannot be read."""
    content = source.read() if isinstance(source, ArchivedImage) else source
    if isinstance(content, np.ndarray):
        return None
    try:
        with QUIET:
            if isinstance(content, Image.Image):
                return orientation(content)
            with open_image(content) as opened:
                # Pillow turns a TIFF file itself when it reads the pixels.
                return None if opened.format == "TIFF" else orientation(opened)
    except Exception:  # whatever Pillow meets in damaged EXIF: the pixels are sound
        return None


def orientation(image: Image.Image) -> Image.Transpose | None:
    return EXIF_TRANSPOSE.get(image.getexif().get(ExifTags.Base.Orientation) or 1)


def encode_map(image_map: Map) -> bytes:
    """An .npz file with the key `map`."""
    stream = BytesIO()
    np.savez_compressed(stream, map=image_map)
    return stream.getvalue()
