"""What our own commands set for their whole process, once, before anything is computed.

`googlenet` on the command line calls `tune_process`; importing the package, or calling it from
another program, changes nothing.  `GOOGLENET_TUNE=0` leaves everything as it was.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys

# glibc's names for the parameters of mallopt (malloc.h).
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
TOP_PAD = 64 << 20  # by how much the heap grows at a time
RESERVED = 16 << 30  # address space, not memory, in which the kernel may use huge pages
HUGE_PAGES = 14  # MADV_HUGEPAGE

# A thread that waits for the next piece of work gives its core to others after a moment, in place
# of milliseconds: with another program on the machine everything waits for threads that spin.
SPINS = "1000"  # what libgomp itself takes where it knows of more threads than cores


TUNED: list[str] = []  # what has been done to this process


def tune_process() -> None:
    """Set the allocator and the threads' manners.  Harmless where there is nothing to set."""
    if os.environ.get("GOOGLENET_TUNE") == "0":
        return
    limit_spinning()
    retain_heap()


def allocator() -> str:
    """What to write beside a measurement: "tuned" or "stock"."""
    return "tuned" if "allocator" in TUNED else "stock"


def limit_spinning() -> None:
    """Read by OpenMP when PyTorch loads it; what the user has set stays."""
    if "OMP_WAIT_POLICY" not in os.environ and "torch" not in sys.modules:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def retain_heap() -> None:
    """Keep freed memory for the next step, in huge pages, if the C library is glibc.

    Otherwise every large map is fresh memory from the system, which clears it page by page when
    it is first touched: a third of the time of a step in training.
    """
    try:
        library = ctypes.CDLL(None)
        mallopt, allocate, free = library.mallopt, library.malloc, library.free
        advise = library.madvise
    except (AttributeError, OSError, TypeError):
        return
    TUNED.append("allocator")
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, -1)
    mallopt(M_TOP_PAD, TOP_PAD)
    allocate.argtypes, allocate.restype = [ctypes.c_size_t], ctypes.c_void_p
    free.argtypes, free.restype = [ctypes.c_void_p], None
    advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    # The heap's top, grown once and marked, then given back to the allocator, which keeps it.
    block = allocate(RESERVED)
    if block:
        first = -(-block // mmap.PAGESIZE) * mmap.PAGESIZE
        advise(first, (block + RESERVED - first) // mmap.PAGESIZE * mmap.PAGESIZE, HUGE_PAGES)
        free(block)
