"""The network's kernels in C++: their sources, and how Python calls them."""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch  # noqa: F401 - the threads that the kernels run on are its OpenMP library's

from googlenet.runtime.compiled import INT, LONG, POINTER, CompiledLibrary

SOURCE_DIR = Path(__file__).parent
SEGMENTS = 4  # how many maps side by side a kernel takes


class Pool(ctypes.Structure):
    """Sizes of a pool: the struct of the same name in kernels.cpp."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in (
            "images", "height", "width", "channels", "out_height", "out_width", "kernel", "stride",
            "padding",
        )
    ]  # fmt: skip


class Maps(ctypes.Structure):
    """Maps side by side: the struct of the same name in kernels.cpp."""

    _fields_ = [
        ("rows", ctypes.c_int64),
        ("count", ctypes.c_int64),
        ("channels", ctypes.c_int64 * SEGMENTS),
        ("data", ctypes.c_void_p * SEGMENTS * 3),
        ("stride", ctypes.c_int64 * SEGMENTS * 3),
    ]


class Tiles(ctypes.Structure):
    """The tiles of a map: the struct of the same name in winograd.h."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in ("height", "width", "channels", "rows", "columns", "count", "stride", "side")
    ]


class Filters(ctypes.Structure):
    """How filters lie in memory: the struct of the same name in winograd.cpp."""

    _fields_ = [
        ("side", ctypes.c_int64),
        ("channels", ctypes.c_int64),
        ("made", ctypes.c_int64),
        ("strides", ctypes.c_int64 * 4),
    ]


class Response(ctypes.Structure):
    """The constants of LRN: the struct of the same name in kernels.cpp."""

    _fields_ = [
        ("size", ctypes.c_int64),
        ("alpha", ctypes.c_float),
        ("beta", ctypes.c_float),
        ("k", ctypes.c_float),
    ]


LIBRARY = CompiledLibrary(
    name="network",
    sources=tuple(
        SOURCE_DIR / f"{name}.cpp" for name in ("kernels", "winograd", "winograd_gradient")
    ),
    headers=(SOURCE_DIR / "vectors.h", SOURCE_DIR / "winograd.h"),
    signatures={
        "pool_forward": [ctypes.POINTER(Pool), POINTER, POINTER, POINTER, INT, INT],
        "pool_backward": [ctypes.POINTER(Pool), POINTER, POINTER, POINTER, INT, INT, INT],
        "statistics": [ctypes.POINTER(Maps), POINTER, POINTER, POINTER, POINTER, INT, INT],
        "activate": [ctypes.POINTER(Maps), POINTER, POINTER, INT, INT],
        "relu_backward": [ctypes.POINTER(Maps), INT, INT],
        "norm_backward": [ctypes.POINTER(Maps), POINTER, POINTER, INT, INT],
        "lrn_forward": [ctypes.POINTER(Response), POINTER, POINTER, LONG, LONG, INT, INT],
        "lrn_backward": [ctypes.POINTER(Response), POINTER, POINTER, POINTER, LONG, LONG, INT, INT],
        "winograd_has_bf16": [],
        "winograd_filters": [ctypes.POINTER(Filters), *[POINTER] * 3, INT, INT],
        "winograd_filter": [*[ctypes.POINTER(Tiles)] * 2, *[POINTER] * 4, INT, INT],
        "winograd_gradient": [*[ctypes.POINTER(Tiles)] * 2, *[POINTER] * 4, INT, INT],
    },
    returns_int=("winograd_has_bf16",),
)


def library() -> ctypes.CDLL | None:
    """The kernels, or None where they are switched off or cannot be built or loaded."""
    return LIBRARY.load()
