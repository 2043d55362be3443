"""What a network sees of a photo for one answer: the centre view, without the rest of the resize.

`views.center` resizes the whole photo and cuts the view out of it.  Here only the view's rows and
columns are computed, to the same bits, by a kernel of ours (native/resize.cpp); where that cannot
be had, or Pillow would take its two passes in the other order, it is `views.center` itself.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Sequence
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from googlenet.images.decode import Source, decode
from googlenet.images.lazy_jpeg import Box, DamagedError, LazyJpeg, Photo, available, open_jpeg
from googlenet.images.library import library
from googlenet.images.preprocess import Preprocessing
from googlenet.images.views import center
from googlenet.runtime.first_call import locked_cache

Pixels = NDArray[np.uint8]

FILTERS = ("bilinear", "bicubic")  # the kernel's numbers of them


def seen(source: Source, p: Preprocessing) -> Pixels:
    """A photo as the network sees it: (size, size, channels) uint8.

    Decoded by libjpeg-turbo itself where simplejpeg is installed, to within a level of Pillow,
    and of a plain JPEG only the pixels that the view needs.
    Raises ImageError, which names the file, for whatever cannot be decoded, the same with both.
    """
    if not available():
        return centre(decode(source), p)
    photo = open_jpeg(source, lambda width, height: 1)
    if not isinstance(photo, LazyJpeg):
        return centre(photo, p)
    try:
        if kernels_for(photo.size, p) is None:
            return centre(photo.whole(), p)
        box = needed(photo.size, p)
        return p.pixels(window(photo.part(box), box, photo.size, p))
    except DamagedError:  # of which Pillow is to say what it is, or to make the best
        return centre(decode(source), p)


def centre(photo: Photo, p: Preprocessing) -> Pixels:
    """The centre view of a decoded photo in the network's channels, as `views.center` has it."""
    size = photo.size if isinstance(photo, Image.Image) else (photo.shape[1], photo.shape[0])
    if kernels_for(size, p) is None or (isinstance(photo, Image.Image) and photo.mode != "RGB"):
        image = photo if isinstance(photo, Image.Image) else Image.fromarray(photo)
        return p.pixels(next(center(image, p)))
    return p.pixels(window(np.ascontiguousarray(photo), (0, 0, *size), size, p))


def window(part: Pixels, box: Box, size: tuple[int, int], p: Preprocessing) -> Pixels:
    """The view of a photo of that size, of which `part` is the pixels in the box: RGB."""
    kernels = resizer()
    assert kernels is not None
    assert part.strides[1:] == (3, 1)
    inner = p.resized_size(size, p.resize_size)
    left, top = ((side - p.size) // 2 for side in inner)
    out = np.empty((p.size, p.size, 3), np.uint8)
    done = kernels.googlenet_window(
        part.ctypes.data, part.strides[0], box[1], box[0], *part.shape[:2], *size[::-1],
        *inner[::-1], top, left, p.size, FILTERS.index(p.interpolation), out.ctypes.data,
    )  # fmt: skip
    assert done
    return out


def needed(size: tuple[int, int], p: Preprocessing) -> Box:
    """The pixels of a photo that its view is made of, and one more on each side."""
    spans = []
    for whole, scaled in zip(size, p.resized_size(size, p.resize_size), strict=True):
        step = whole / scaled
        reach = max(1.0, step) * (FILTERS.index(p.interpolation) + 1)
        first = (scaled - p.size) // 2
        low = floor((first + 0.5) * step - reach) - 1
        high = ceil((first + p.size - 0.5) * step + reach) + 1
        spans.append((max(0, low), min(whole, high)))
    (left, right), (top, bottom) = spans
    return left, top, right, bottom


def kernels_for(size: tuple[int, int], p: Preprocessing) -> ctypes.CDLL | None:
    """The kernels, where their result for a photo of that size is Pillow's."""
    if p.interpolation not in FILTERS or p.mode == "letterbox":
        return None
    return resizer() if columns_first(size, p.resized_size(size, p.resize_size)) else None


def columns_first(size: tuple[int, int], scaled: tuple[int, int]) -> bool:
    """Whether every version of Pillow takes the columns before the rows, as the kernel does.

    Old ones always do, new ones (13) take the rows first of some photos that lose rows: of those
    more than twice as high as wide, and of some that lose more rows than columns.
    """
    width, height = size
    if scaled[1] >= height:
        return True
    return height <= 2 * width and 100 * scaled[1] * width >= 97 * scaled[0] * height


@locked_cache
def resizer() -> ctypes.CDLL | None:
    """The kernels where they give Pillow's bits.

    Elsewhere than on x86-64 Pillow's weights are rounded by other instructions.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return None
    kernels, probe = library(), np.zeros((1, 1, 3), np.uint8)
    if kernels is None:
        return None
    at = probe.ctypes.data
    return kernels if kernels.googlenet_window(at, 3, 0, 0, *[1] * 6, 0, 0, 1, 0, at) else None


def planes(views: Pixels | Sequence[Pixels], p: Preprocessing) -> NDArray[np.float32]:
    """`Preprocessing.normalise`, to the bit, as NCHW arrays: N of (H, W, C) -> (N, C, H, W)."""
    height, width, channels = views[0].shape
    out = np.empty((len(views), channels, height, width), np.float32)
    kernels = library()
    mean, scale = np.array(p.mean, np.float32), np.array(p.scale, np.float32)
    for view, plane in zip(views, out, strict=True):
        rows, stride, step = view.strides
        if kernels is None or rows != width * stride:
            # A channel at a time: several times as fast as three neighbouring numbers at a time.
            for c in range(channels):
                np.subtract(view[..., c], mean[c], out=plane[c])
                np.multiply(plane[c], scale[c], out=plane[c])
        else:
            kernels.googlenet_planes(
                view.ctypes.data, height * width, channels, stride, step,
                mean.ctypes.data, scale.ctypes.data, plane.ctypes.data,
            )  # fmt: skip
    return out
