"""The pixels' kernels in C++: their sources, and how Python calls them."""

from __future__ import annotations

import ctypes
from pathlib import Path

from googlenet.runtime.compiled import INT, LONG, POINTER, CompiledLibrary

SOURCE_DIR = Path(__file__).parent
LIBRARY = CompiledLibrary(
    name="pixels",
    sources=tuple(SOURCE_DIR / f"{name}.cpp" for name in ("pixels", "resize")),
    # Pillow's bits: products and sums are not contracted into one operation.
    extra_flags={"resize.cpp": ("-ffp-contract=off",)},
    signatures={
        "resize": [POINTER, LONG, LONG, LONG, INT, POINTER, LONG, LONG],
        "normalize": [POINTER, POINTER, LONG, POINTER, POINTER],
        "window": [POINTER, *[LONG] * 7, INT, POINTER],
        "to_nchw": [POINTER, *[LONG] * 4, POINTER, POINTER, POINTER],
    },
    returns_int=("window",),
)


def library() -> ctypes.CDLL | None:
    """The kernels, or None where they are switched off or cannot be built or loaded."""
    return LIBRARY.load()
