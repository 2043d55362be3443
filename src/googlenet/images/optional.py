"""Formats that packages beside Pillow read: imported when the first such file is met."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec

from googlenet.images.jxl_header import is_jxl

# Format by the name of its Pillow plugin, the package that reads it, how its files are called.
OPTIONAL_FORMATS = {
    "HEIF": ("pillow_heif", (".heic", ".heif", ".hif")),
    "JXL": ("pillow_jxl", (".jxl",)),
}
INSTALL = "pip install 'googlenet[formats]'"
START = 64  # bytes that tell the format
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


@lru_cache
def is_installed(kind: str) -> bool:
    """Whether the package is there; it is not imported."""
    return find_spec(OPTIONAL_FORMATS[kind][0]) is not None


@lru_cache
def readable_extensions() -> frozenset[str]:
    """Extensions of the formats whose packages are installed."""
    return frozenset(
        e for kind, (_, names) in OPTIONAL_FORMATS.items() if is_installed(kind) for e in names
    )


def needs_package(extensions: Sequence[str]) -> list[str]:
    """Those of the extensions that would be read if their package were installed."""
    every = {e for _, names in OPTIONAL_FORMATS.values() for e in names}
    return [e for e in extensions if e in every - readable_extensions()]


def optional_format(start: bytes) -> str | None:
    """The optional format of a file that starts so: a name of OPTIONAL_FORMATS, or None."""
    if is_jxl(start):
        return "JXL"
    if start[4:8] == b"ftyp" and start[8:12] in HEIF_BRANDS:
        brands = start[8 : int.from_bytes(start[:4], "big")]
        return None if start[8:10] == b"mi" and b"avif" in brands else "HEIF"
    return None


def require(kind: str) -> None:
    """Teach Pillow the format.  Raises ImportError, with what to install."""
    if not is_installed(kind):
        raise ImportError(f"{kind} needs {INSTALL}")
    package = import_module(OPTIONAL_FORMATS[kind][0])  # of JPEG XL, this registers it
    if kind == "HEIF":
        package.register_heif_opener()
