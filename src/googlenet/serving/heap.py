"""Returning freed memory to the system, which glibc otherwise keeps for each thread."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache


@cache
def malloc_trim() -> Callable[[int], int] | None:
    """glibc's function of that name; None on a system without it."""
    try:
        function: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, another system
        return None
    return function


def trim_heap() -> None:
    """Return free memory to the system, if the allocator is glibc's."""
    trim = malloc_trim()
    if trim is not None:
        trim(0)
