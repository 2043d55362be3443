"""Which images a model was trained on: a compact record in its file."""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from googlenet.data.dataset import Samples
from googlenet.images.archived import ArchivedImage, LocalShard
from googlenet.runtime.errors import GoogLeNetError
from googlenet.runtime.prefetch import prefetch

HASH_BYTES = 5
EVERY_HASH = 1 << 8 * HASH_BYTES
MAX_HASHES = 1 << 17  # 0.9 MB in the model file
CHUNK = 1 << 14  # bytes that are read at the beginning, in the middle and at the end of a file
WORKERS = 8  # reading a little of many files waits for the disk


@dataclass(frozen=True)
class LearnedImages:
    """Hashes of training images' files, sorted: all that are less than `below`.

    Of more than MAX_HASHES images, the smallest hashes are kept; these are a random sample.
    """

    hashes: NDArray[np.uint64]
    below: int = EVERY_HASH

    @classmethod
    def of(cls, samples: Samples) -> LearnedImages:
        """Those of these images whose files can be read."""
        return cls.limited(hashes_of(samples))

    @classmethod
    def limited(cls, hashes: NDArray[np.uint64], below: int = EVERY_HASH) -> LearnedImages:
        found = np.unique(hashes[hashes < below])
        if len(found) > MAX_HASHES:
            below = int(found[MAX_HASHES])
            found = found[:MAX_HASHES]
        return cls(found, below)

    def union(self, other: LearnedImages) -> LearnedImages:
        both = np.concatenate([self.hashes, other.hashes])
        return self.limited(both, min(self.below, other.below))

    def without(self, hashes: NDArray[np.uint64]) -> LearnedImages:
        return LearnedImages(np.setdiff1d(self.hashes, hashes), self.below)

    def contains(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of these hashes are recorded."""
        return np.isin(hashes, self.hashes)

    def to_json(self) -> dict[str, Any]:
        content = self.hashes.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :HASH_BYTES]
        text = b64encode(content.tobytes()).decode()
        return {"images": len(self.hashes), "below": self.below, "hashes": text}

    @classmethod
    def from_json(cls, values: Any) -> LearnedImages:
        """What `to_json` wrote; for any other value a record of no image."""
        try:
            content = np.frombuffer(b64decode(values["hashes"], validate=True), np.uint8)
            wide = np.zeros((len(content) // HASH_BYTES, 8), np.uint8)
            wide[:, :HASH_BYTES] = content.reshape(-1, HASH_BYTES)
            hashes = wide.view("<u8")[:, 0].astype(np.uint64)
            return cls.limited(hashes, max(1, min(int(values["below"]), EVERY_HASH)))
        except (KeyError, TypeError, ValueError, OverflowError):
            return NOTHING_LEARNED


NOTHING_LEARNED = LearnedImages(np.empty(0, np.uint64))


def learned_by(provenance: Mapping[str, Any]) -> LearnedImages:
    """The images that a model was trained on, and so were those whose weights it began with."""
    found = []
    link: Any = provenance
    while isinstance(link, Mapping):
        found.append(LearnedImages.from_json(link.get("learned")))
        link = link.get("weights")
    return reduce(LearnedImages.union, found)


def hashes_of(samples: Samples) -> NDArray[np.uint64]:
    """A hash of each image's file, or 2^40 where it cannot be read or is on another machine."""
    found = prefetch(hash_of, samples.sources, WORKERS)
    return np.fromiter(found, np.uint64, count=len(samples))


def hash_of(source: Path | NDArray[np.uint8] | ArchivedImage) -> int:
    """A hash of the file's size and of three chunks of it, whatever it is called."""
    try:
        if isinstance(source, np.ndarray):
            content = str(source.shape).encode() + np.ascontiguousarray(source).tobytes()
        elif isinstance(source, ArchivedImage):
            if not isinstance(source.shard, LocalShard):  # not to download everything
                return EVERY_HASH
            shard, begin = source.shard, source.offset
            content = chunks_of(source.size, lambda at, size: shard.read(begin + at, size))
        else:
            content = file_chunks(source)
    except (OSError, GoogLeNetError, ValueError):
        return EVERY_HASH
    return int.from_bytes(blake2b(content, digest_size=HASH_BYTES).digest(), "little")


def file_chunks(path: Path) -> bytes:
    """Raises OSError for what is not a regular file, too: a pipe would never end."""
    if not path.is_file():
        raise OSError
    file = os.open(path, os.O_RDONLY)
    try:
        return chunks_of(os.fstat(file).st_size, lambda at, size: os.pread(file, size, at))
    finally:
        os.close(file)


def chunks_of(size: int, read: Callable[[int, int], bytes]) -> bytes:
    """The size, and the file, or of a larger one its first, middle and last chunk."""
    head = size.to_bytes(8, "little")
    if size <= 3 * CHUNK:
        return head + read(0, size)
    return head + b"".join(read(at, CHUNK) for at in (0, (size - CHUNK) // 2, size - CHUNK))
