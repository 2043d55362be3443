"""Decoded photos kept for the next epoch: in memory, or in a file that goes with the process.

What is kept is what decoding gave, pixel for pixel, so a run with a cache has the bits of a run
without.  Photos come in another order each epoch, so dropping one for another gains nothing:
when the cache is full, the rest is decoded every time.
"""

from __future__ import annotations

import os
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from googlenet import parallel
from googlenet.data.dataset import Samples
from googlenet.data.shards.sources import ShardSources
from googlenet.images.archived import ArchivedImage, Descriptor
from googlenet.images.decode import ImageError, read_header
from googlenet.images.lazy_jpeg import Photo
from googlenet.runtime.errors import GoogLeNetError
from googlenet.runtime.memory import available_memory

CACHES = ("auto", "memory", "disk", "none")
AUTO_BYTES = 1 << 30
SAMPLED_IMAGES = 64  # photos whose sizes tell how large all of them are


class DecodedCache(ABC):
    """Up to `limit` bytes of decoded photos by index, for any number of threads."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.lock = threading.Lock()
        self.images: set[int] = set()  # which were Pillow's: what follows may differ by kind

    def get(self, index: int, read: Callable[[], Photo]) -> Photo:
        """The photo of that index, from `read` if it is not here yet."""
        found = self.find(index)
        if found is not None:
            return Image.fromarray(found) if index in self.images else found
        photo = read()
        array = np.asarray(photo)
        at = self.reserve(array.nbytes)
        if at is not None:
            if isinstance(photo, Image.Image):
                self.images.add(index)
            self.keep(index, array, at)
        return photo

    def reserve(self, size: int) -> int | None:
        """Where the next `size` bytes go; None if there is no more room."""
        with self.lock:
            if self.used + size > self.limit:
                return None
            self.used += size
            return self.used - size

    @abstractmethod
    def keep(self, index: int, array: NDArray[np.uint8], at: int) -> None:
        """Keep a photo's pixels, for which there is room from byte `at` on."""

    @abstractmethod
    def find(self, index: int) -> NDArray[np.uint8] | None:
        """The pixels kept for that index, to look at and not to change."""


class MemoryCache(DecodedCache):
    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.arrays: dict[int, NDArray[np.uint8]] = {}

    def keep(self, index: int, array: NDArray[np.uint8], at: int) -> None:
        # Pillow's own memory cannot be written to, of which PyTorch would warn.
        self.arrays[index] = array if array.flags.writeable else array.copy()

    def find(self, index: int) -> NDArray[np.uint8] | None:
        return self.arrays.get(index)


class DiskCache(DecodedCache):
    """In a file without a name in `folder`, which is gone when the process is."""

    def __init__(self, limit: int, folder: Path) -> None:
        super().__init__(limit)
        self.places: dict[int, tuple[int, tuple[int, ...]]] = {}
        try:
            number, name = tempfile.mkstemp(dir=folder)
            self.file = Descriptor(number)
            os.unlink(name)  # noqa: PTH108
        except OSError as error:
            raise GoogLeNetError(f"{folder}: cannot be written ({error.strerror})") from error

    def keep(self, index: int, array: NDArray[np.uint8], at: int) -> None:
        rest = memoryview(np.ascontiguousarray(array).data).cast("B")
        place = (at, array.shape)
        try:
            while rest:
                written = os.pwrite(self.file.number, rest, at)
                rest, at = rest[written:], at + written
        except OSError as error:
            raise GoogLeNetError(
                f"the cache of decoded photos cannot be written ({error.strerror}): "
                "go on with --cache none"
            ) from error
        self.places[index] = place

    def find(self, index: int) -> NDArray[np.uint8] | None:
        place = self.places.get(index)
        if place is None:
            return None
        at, shape = place
        array = np.empty(shape, np.uint8)
        rest = memoryview(array.data).cast("B")
        while rest:
            read = os.preadv(self.file.number, [rest], at)
            assert read, "the file name_offsets before a photo that was written"
            rest, at = rest[read:], at + read
        return array


def build_cache(kind: str, samples: Samples, folder: Path) -> DecodedCache | None:
    """A cache of that kind for the photos; a file for it goes into the folder.

    "memory" takes up to three quarters of what is free, "disk" up to half; "auto" is memory
    where all the photos take less than `AUTO_BYTES` and than a quarter of what is free.  Several
    processes on a machine have equal parts of what is free.  Raises GoogLeNetError where the
    folder cannot be reached.
    """
    if kind == "disk":
        try:
            status = os.statvfs(folder)
        except OSError as error:
            raise GoogLeNetError(
                f"{folder}: cannot hold the cache of this machine ({error.strerror}): give "
                "--cache none or memory"
            ) from error
        return DiskCache(
            status.f_bavail * status.f_frsize // 2 // parallel.local_world_size(), folder
        )
    free = available_memory() // parallel.local_world_size()
    if kind == "memory":
        return MemoryCache(free * 3 // 4)
    if kind == "auto":
        limit = min(AUTO_BYTES, free // 4)
        return MemoryCache(limit) if decoded_bytes(samples) <= limit else None
    return None


def decoded_bytes(samples: Samples) -> int:
    """About how much the photos take when decoded, by the headers of some of them."""
    among = np.arange(len(samples))
    if isinstance(samples.sources, ShardSources):  # of one shard: each may have to be copied
        shard = samples.sources.places.shard
        among = np.flatnonzero(shard == shard[0])
    chosen = among[np.linspace(0, len(among) - 1, min(SAMPLED_IMAGES, len(among))).astype(int)]
    sizes = [size for i in chosen if (size := image_bytes(samples.sources[int(i)]))]
    return round(sum(sizes) / len(sizes) * len(samples)) if sizes else 0


def image_bytes(source: Path | NDArray[np.uint8] | ArchivedImage) -> int:
    """What a photo takes as RGB; 0 if it cannot be read."""
    if isinstance(source, np.ndarray):
        height, width = source.shape[:2]
        return 3 * int(height) * int(width)
    try:
        header = read_header(source.read() if isinstance(source, ArchivedImage) else source)
    except ImageError:
        return 0
    return 3 * header.width * header.height
