"""Parts of JPEGs by Pillow's own libjpeg-turbo, whose pixels they are, without the other pixels.

No package offers this.  Pillow's wheels have the library beside them as a file with the fixed
binary interface of libjpeg 6b; it is used only if a small photo comes out right.
"""

from __future__ import annotations

import ctypes
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from googlenet.images.library import library
from googlenet.runtime.compiled import LONG
from googlenet.runtime.first_call import locked_cache

Box = tuple[int, int, int, int]  # left, top, right, bottom

# Where the wheels have it, relative to Pillow's folder.
PLACES = ("../pillow.libs/libjpeg-*.so.62*", ".dylibs/libjpeg.62*.dylib")
FUNCTIONS = (
    "std_error", "CreateDecompress", "mem_src", "read_header", "start_decompress",
    "crop_scanline", "skip_scanlines", "read_scanlines", "finish_decompress",
    "destroy_decompress",
)  # fmt: skip
MARGIN = 8  # pixels beside a part, whose colors the upsampling of its outermost ones needs
LARGEST_BLOCK = 32  # pixels: parts are decoded from a multiple of the block's width on
FINE, DAMAGED, OTHER = range(3)


class Functions(ctypes.Structure):
    """The struct `Library` in region.cpp."""

    _fields_ = [(name, ctypes.c_void_p) for name in FUNCTIONS]


def region(content: bytes, denominator: int, size: tuple[int, int], box: Box) -> NDArray[np.uint8]:
    """The pixels in the box of a JPEG of three colors, decoded at a part of its size.

    size: width and height of all of it, so decoded.  Returns (H, W, 3), rows apart in memory.
    Raises ValueError where the JPEG, in whatever place, is damaged, or of another size.
    """
    functions = pillow_s_library()
    assert functions is not None
    return decoded(functions, content, denominator, size, box)


def available() -> bool:
    return pillow_s_library() is not None


@locked_cache
def pillow_s_library() -> Functions | None:
    """Its functions; None where there are no kernels or Pillow's library is another one."""
    if library() is None:
        return None
    folder = Path(PIL.__file__).parent
    for path in sorted(found for place in PLACES for found in folder.glob(place)):
        try:
            loaded = ctypes.CDLL(str(path))
            addresses = [
                ctypes.cast(getattr(loaded, f"jpeg_{name}"), ctypes.c_void_p) for name in FUNCTIONS
            ]
        except (OSError, AttributeError):
            continue
        functions = Functions(*addresses)
        if right(functions):
            return functions
    return None


def right(functions: Functions) -> bool:
    """Whether a part of a small photo has the pixels that Pillow gives it."""
    rng = np.random.default_rng(0)
    stream = BytesIO()
    Image.fromarray(rng.integers(0, 256, (70, 90, 3), np.uint8)).save(stream, "JPEG")
    with Image.open(stream) as opened:
        whole = np.asarray(opened)
    left, top, right, bottom = box = (33, 35, 61, 52)
    try:
        part = decoded(functions, stream.getvalue(), 1, (90, 70), box)
    except ValueError:
        return False
    return np.array_equal(part, whole[top:bottom, left:right])


def decoded(
    functions: Functions, content: bytes, denominator: int, size: tuple[int, int], box: Box
) -> NDArray[np.uint8]:
    kernels = library()
    assert kernels is not None
    width, height = size
    left, top, right, bottom = box
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    wide = (max(0, left - MARGIN), top, min(width, right + MARGIN), bottom)
    columns = min(width, wide[2] - wide[0] + LARGEST_BLOCK)
    rows = np.empty((bottom - top, columns, 3), np.uint8)
    found = np.zeros(2, np.int64)
    kernels.googlenet_region(
        ctypes.byref(functions), content, len(content), denominator, (LONG * 6)(*wide, *size),
        rows.ctypes.data, rows.strides[0], found.ctypes.data,
    )  # fmt: skip
    status, first = found.tolist()
    if status != FINE:
        raise ValueError("the JPEG is damaged or not of that size")
    return rows[:, left - first : right - first]
