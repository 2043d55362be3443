"""The compiled kernels: built once for this processor, kept in the cache, absent without complaint.

Nothing here runs at import.  `GOOGLENET_NATIVE=0` in the environment switches the kernels off.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from googlenet.runtime.files import cache_dir

HERE = Path(__file__).parent
# Two libraries: what the network needs, and what photos need, without PyTorch.
NETWORK = tuple(HERE / f"{name}.cpp" for name in ("kernels", "winograd", "winograd_gradient"))
IMAGES = HERE.parent / "images"
PHOTOS = tuple(IMAGES / f"{name}.cpp" for name in ("pixels", "region", "resize"))
HEADERS = (HERE / "vectors.h", HERE / "winograd.h")
COMPILERS = ("c++", "g++", "clang++")
FLAGS = (
    "-std=c++17", "-O3", "-march=native", "-fPIC", "-fopenmp", "-fno-math-errno",
    "-fno-trapping-math", "-fno-strict-aliasing", "-w",
)  # fmt: skip
# Whose results are Pillow's bits: it does not contract products and sums into one operation.
EXACT = {"resize.cpp": ("-ffp-contract=off",)}
Sources = tuple[Path, ...]

WAIT_SECONDS = 600.0  # for another process that builds, and for the compiler


@cache
def library(sources: Sources = NETWORK) -> ctypes.CDLL | None:
    """The kernels, or None where they are switched off or cannot be built or loaded."""
    if os.environ.get("GOOGLENET_NATIVE") == "0":
        return None
    if sources == NETWORK:
        import torch  # noqa: F401 - the threads that the kernels use are its library's

    try:
        return load(built(cache_dir() / "native", sources), sources)
    except (OSError, AttributeError, Timeout, subprocess.SubprocessError, RuntimeError):
        return None


def built(folder: Path, sources: Sources = NETWORK) -> Path:
    """The kernels' file in `folder`, compiled if it is not there yet.

    Raises OSError, Timeout or SubprocessError where that fails.
    """
    compiler = os.environ.get("CXX") or next(filter(shutil.which, COMPILERS), None)
    if compiler is None:
        raise FileNotFoundError("no C++ compiler")
    path = folder / f"{sources[0].stem}-{fingerprint(compiler, sources)}.so"
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock", timeout=WAIT_SECONDS):
        if not path.is_file():
            compile_kernels(compiler, path, sources)
    return path


def compile_kernels(compiler: str, path: Path, sources: Sources = NETWORK) -> None:
    """Compile beside the place and put the file there at one stroke.

    Linking without OpenMP's own library leaves its names open, and those of the library that
    PyTorch has loaded fill them: one pool of threads, not two.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        linked = Path(folder, "kernels.so")
        compiled = [str(Path(folder, f"{source.stem}.o")) for source in sources]

        def run(*arguments: str) -> None:
            command = [*compiler.split(), *arguments]
            subprocess.run(command, check=True, capture_output=True, timeout=WAIT_SECONDS)

        def compile_one(source: Path, target: str) -> None:
            run(*flags(source), "-c", str(source), "-o", target)

        with ThreadPoolExecutor() as pool:
            list(pool.map(compile_one, sources, compiled))
        run("-shared", *compiled, "-o", str(linked))
        linked.replace(path)


def flags(source: Path) -> tuple[str, ...]:
    return (*FLAGS, *EXACT.get(source.name, ()))


def fingerprint(compiler: str, sources: Sources = NETWORK) -> str:
    """What the file depends on: the source, how it is compiled, and for which processor."""
    parts = [source.read_bytes() for source in (*sources, *HEADERS)]
    parts.append(repr((compiler, *map(flags, sources), platform.machine())).encode())
    cpu = Path("/proc/cpuinfo")
    if cpu.is_file():
        lines = cpu.read_text(encoding="utf-8", errors="replace").splitlines()
        parts += sorted(
            {
                line.encode()
                for line in lines
                if line.startswith(("model name", "flags", "Features"))
            }
        )
    return hashlib.sha256(b"\n".join(parts)).hexdigest()[:16]


def load(path: Path, sources: Sources = NETWORK) -> ctypes.CDLL:
    """Raises OSError where the file cannot be loaded, AttributeError where it lacks a function."""
    loaded = ctypes.CDLL(str(path))
    for name, arguments in SIGNATURES[sources].items():
        function = getattr(loaded, f"googlenet_{name}")
        function.argtypes, function.restype = arguments, INT if name in ANSWERING else None
    return loaded


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


POINTER, INT, LONG = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
SIGNATURES: dict[Sources, dict[str, list[Any]]] = {
    NETWORK: {
        "pool_forward": [ctypes.POINTER(Pool), POINTER, POINTER, POINTER, INT, INT],
        "pool_backward": [ctypes.POINTER(Pool), POINTER, POINTER, POINTER, INT, INT, INT],
        "statistics": [ctypes.POINTER(Maps), POINTER, POINTER, POINTER, POINTER, INT, INT],
        "activate": [ctypes.POINTER(Maps), POINTER, POINTER, INT, INT],
        "relu_backward": [ctypes.POINTER(Maps), INT, INT],
        "norm_backward": [ctypes.POINTER(Maps), POINTER, POINTER, INT, INT],
        "lrn_forward": [ctypes.POINTER(Response), POINTER, POINTER, LONG, LONG, INT, INT],
        "lrn_backward": [ctypes.POINTER(Response), POINTER, POINTER, POINTER, LONG, LONG, INT, INT],
        "winograd_half": [],
        "winograd_filters": [ctypes.POINTER(Filters), *[POINTER] * 3, INT, INT],
        "winograd_filter": [*[ctypes.POINTER(Tiles)] * 2, *[POINTER] * 4, INT, INT],
        "winograd_gradient": [*[ctypes.POINTER(Tiles)] * 2, *[POINTER] * 4, INT, INT],
    },
    PHOTOS: {
        "resize": [POINTER, LONG, LONG, LONG, INT, POINTER, LONG, LONG],
        "mirror": [POINTER, POINTER, LONG, LONG],
        "normalise": [POINTER, POINTER, LONG, POINTER, POINTER],
        "region": [POINTER, POINTER, LONG, INT, POINTER, POINTER, LONG, POINTER],
        "window": [POINTER, *[LONG] * 12, INT, POINTER],
        "planes": [POINTER, *[LONG] * 4, POINTER, POINTER, POINTER],
    },
}
ANSWERING = ("window", "winograd_half")  # those that give a number back
