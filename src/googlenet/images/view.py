"""What a network sees of an image: the center view, without the rest of the resize.

`views.center` resizes the whole image and cuts the view out of it.  Here only the view's rows and
columns are computed, with the same bits, by a kernel (resize.cpp); where that is unavailable, or
Pillow would take its two passes in the other order, it is `views.center` itself.

`load_view` is the one way from a source to a view: `predict`, `evaluate`, `serve` and `export` use
it, or its two halves, `load_image` and `center_view`.

Resizing has three implementations, each for a reason: Pillow's, the reference, for views;
resize.cpp has its bits and computes the view alone (0.2 ms in place of 1.4 for 500×375 pixels);
PyTorch's antialiased `interpolate` of bytes for training crops, with pixels.cpp for the same bits
(20 % more crops per second).  Crops on a GPU (device_crops) and exported preprocessing
(export/image_graph) are the same resize as matrix products and as ONNX operators.  Normalizing has
`Preprocessing.normalize` for tensors, channels-last, and `to_nchw` for arrays, which needs no
PyTorch; both are (pixel − mean) · scale in float32, bit for bit.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from googlenet.images.decode import Source
from googlenet.images.library import library
from googlenet.images.preprocess import Preprocessing
from googlenet.images.turbo_jpeg import DecodedImage, Pixels, as_pillow, load_image, size_of
from googlenet.images.views import VIEWS, center
from googlenet.runtime.first_call import locked_cache

FILTERS = ("bilinear", "bicubic")  # the kernel's numbers of them


def load_view(source: Source, p: Preprocessing) -> Pixels:
    """The center view of a path, bytes, an array or an image: (size, size, channels) uint8.

    Raises ImageError, which names the file, for whatever cannot be decoded.
    """
    return center_view(load_image(source), p)


def views_of(image: DecodedImage, p: Preprocessing, views: int) -> list[Pixels]:
    """The 1, 10 or 144 views of a decoded image, each (size, size, channels) uint8."""
    if views == 1:
        return [center_view(image, p)]
    return [p.pixels(view) for view in VIEWS[views](as_pillow(image), p)]


def center_view(image: DecodedImage, p: Preprocessing) -> Pixels:
    """The center view of a decoded image in the network's channels, as `views.center` has it."""
    if kernels_for(size_of(image), p) is None or getattr(image, "mode", "RGB") != "RGB":
        return p.pixels(next(center(as_pillow(image), p)))
    return p.pixels(resize_window(np.ascontiguousarray(image), p))


def resize_window(image: Pixels, p: Preprocessing) -> Pixels:
    """The center crop of the resized image, of whose other pixels none is computed."""
    kernels = resizer()
    assert kernels is not None
    height, width = image.shape[:2]
    resized = p.resized_size((width, height), p.resize_size)
    left, top = ((side - p.size) // 2 for side in resized)
    out = np.empty((p.size, p.size, 3), np.uint8)
    done = kernels.googlenet_window(
        image.ctypes.data, height, width, *resized[::-1], top, left, p.size,
        FILTERS.index(p.interpolation), out.ctypes.data,
    )  # fmt: skip
    assert done
    return out


def kernels_for(size: tuple[int, int], p: Preprocessing) -> ctypes.CDLL | None:
    """The kernels, where their result for an image of that size is Pillow's."""
    if p.interpolation not in FILTERS or p.mode == "letterbox":
        return None
    return resizer() if columns_first(size, p.resized_size(size, p.resize_size)) else None


def columns_first(size: tuple[int, int], resized: tuple[int, int]) -> bool:
    """Whether every version of Pillow takes the columns before the rows, as the kernel does.

    Old ones always do.  New ones (13) take the rows first of some images that lose rows: of those
    more than twice as high as wide, and of some that lose more rows than columns.
    """
    width, height = size
    if resized[1] >= height:
        return True
    return height <= 2 * width and 100 * resized[1] * width >= 97 * resized[0] * height


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
    return kernels if kernels.googlenet_window(at, 1, 1, 1, 1, 0, 0, 1, 0, at) else None


def to_nchw(views: Pixels | Sequence[Pixels], p: Preprocessing) -> NDArray[np.float32]:
    """`Preprocessing.normalize`, bit for bit, of N (H, W, C) as an array (N, C, H, W)."""
    height, width, channels = views[0].shape
    out = np.empty((len(views), channels, height, width), np.float32)
    kernels = library()
    mean, scale = np.array(p.mean, np.float32), np.array(p.scale, np.float32)
    for view, planes in zip(views, out, strict=True):
        rows, stride, step = view.strides
        if kernels is None or rows != width * stride:
            # A channel at a time: several times as fast as three neighboring numbers at a time.
            for c in range(channels):
                np.subtract(view[..., c], mean[c], out=planes[c])
                np.multiply(planes[c], scale[c], out=planes[c])
        else:
            kernels.googlenet_to_nchw(
                view.ctypes.data, height * width, channels, stride, step,
                mean.ctypes.data, scale.ctypes.data, planes.ctypes.data,
            )  # fmt: skip
    return out
