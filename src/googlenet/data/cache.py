"""Decoded images kept in memory for the next epoch.

What is kept is what decoding gave, pixel for pixel, so a run with a cache is bit-identical to one
without.  Images come in another order each epoch, so replacing one by another gains nothing: when
the cache is full, the rest is decoded every time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from googlenet import parallel
from googlenet.data.dataset import Samples
from googlenet.data.shards.sources import ShardSources
from googlenet.images.archived import ArchivedImage
from googlenet.images.decode import ImageError, read_header
from googlenet.images.turbo_jpeg import DecodedImage
from googlenet.runtime.memory import available_memory

CACHES = ("auto", "memory", "none")
AUTO_BYTES = 1 << 30
SAMPLED_IMAGES = 64  # whose sizes tell how large all of them are


class MemoryCache:
    """Up to `limit` bytes of decoded images by index, for any number of threads."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.lock = threading.Lock()
        # Pixels, and whether they were a Pillow image: what follows may differ by kind.
        self.kept: dict[int, tuple[NDArray[np.uint8], bool]] = {}

    def get(self, index: int, read: Callable[[], DecodedImage]) -> DecodedImage:
        """The image of that index, from `read` if it is not here yet."""
        if index in self.kept:
            array, is_pillow = self.kept[index]
            return Image.fromarray(array) if is_pillow else array
        image = read()
        array = np.asarray(image)
        if self.reserve(array.nbytes):
            # Pillow's own memory cannot be written to, of which PyTorch would warn.
            kept = array if array.flags.writeable else array.copy()
            self.kept[index] = kept, isinstance(image, Image.Image)
        return image

    def reserve(self, size: int) -> bool:
        """Whether there is room for that many more bytes, which are then taken."""
        with self.lock:
            fits = self.used + size <= self.limit
            self.used += size * fits
        return fits


def build_cache(kind: str, samples: Samples) -> MemoryCache | None:
    """A cache of one of `CACHES` for the images.

    "memory" takes up to three quarters of what is free; "auto" is memory where all the images take
    less than `AUTO_BYTES` and than a quarter of what is free.  Several processes on a machine have
    equal parts of what is free.
    """
    free = available_memory() // parallel.local_world_size()
    if kind == "memory":
        return MemoryCache(free * 3 // 4)
    limit = min(AUTO_BYTES, free // 4)
    return MemoryCache(limit) if kind == "auto" and decoded_bytes(samples) <= limit else None


def decoded_bytes(samples: Samples) -> int:
    """About how much the images take when decoded, by the headers of some of them."""
    among = np.arange(len(samples))
    if isinstance(samples.sources, ShardSources):  # of one shard: each may have to be copied
        shard = samples.sources.places.shard
        among = np.flatnonzero(shard == shard[0])
    chosen = among[np.linspace(0, len(among) - 1, min(SAMPLED_IMAGES, len(among))).astype(int)]
    sizes = [size for i in chosen if (size := image_bytes(samples.sources[int(i)]))]
    return round(sum(sizes) / len(sizes) * len(samples)) if sizes else 0


def image_bytes(source: Path | NDArray[np.uint8] | ArchivedImage) -> int:
    """What an image takes as RGB; 0 if it cannot be read."""
    if isinstance(source, np.ndarray):
        height, width = source.shape[:2]
        return 3 * int(height) * int(width)
    try:
        header = read_header(source.read() if isinstance(source, ArchivedImage) else source)
    except ImageError:
        return 0
    return 3 * header.width * header.height
