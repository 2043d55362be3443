"""The photos of tar shards as a sequence of sources that takes little memory.

A million photos as a tuple of paths take several hundred megabytes; here they are a few arrays,
about 50 bytes a photo, and a source is made when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from googlenet.images.archived import Shard, StoredPhoto


@dataclass(frozen=True)
class Places:
    """Where photos are: `shard` (an index), `offset` and `size` in bytes, and their `names`.

    The first three are integers (N,); `names` is UTF-8, one after another, `ends` (N,) tells
    where each ends.
    """

    shard: NDArray[np.integer]
    offset: NDArray[np.integer]
    size: NDArray[np.integer]
    names: NDArray[np.uint8]
    ends: NDArray[np.integer]

    def __len__(self) -> int:
        return len(self.shard)

    def name(self, index: int) -> str:
        begin = int(self.ends[index - 1]) if index else 0
        return decoded(self.names[begin : int(self.ends[index])].tobytes())

    @classmethod
    def of(cls, rows: Sequence[tuple[int, int, int, str]]) -> Places:
        """From (shard, offset, size, name) of each photo."""
        shard, offset, size = (np.array([row[i] for row in rows], np.int64) for i in range(3))
        names = [encoded(row[3]) for row in rows]
        ends = np.cumsum([len(name) for name in names], dtype=np.int64)
        return cls(
            shard.astype(np.int32), offset, size, np.frombuffer(b"".join(names), np.uint8), ends
        )

    def take(self, indices: Sequence[int] | NDArray[np.integer]) -> Places:
        chosen = np.asarray(indices, np.int64)
        begins = np.concatenate([[0], self.ends[:-1]]) if len(self) else self.ends
        names = [self.names[begins[i] : self.ends[i]] for i in chosen]
        ends = np.cumsum((self.ends - begins)[chosen], dtype=np.int64)
        joined = np.concatenate([np.empty(0, np.uint8), *names])
        return Places(self.shard[chosen], self.offset[chosen], self.size[chosen], joined, ends)


@dataclass(frozen=True)
class PackedSources(Sequence[StoredPhoto]):
    """The photos of some shards, in an order that is the data set's and not the shards'."""

    shards: tuple[Shard, ...]
    places: Places

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> StoredPhoto: ...
    @overload
    def __getitem__(self, index: slice) -> PackedSources: ...
    def __getitem__(self, index: int | slice) -> StoredPhoto | PackedSources:
        if isinstance(index, slice):
            return self.take(range(len(self))[index])
        at = range(len(self))[index]  # negative ones too, and IndexError
        places = self.places
        return StoredPhoto(
            self.shards[places.shard[at]],
            int(places.offset[at]),
            int(places.size[at]),
            places.name(at),
        )

    def take(self, indices: Sequence[int] | NDArray[np.integer]) -> PackedSources:
        return PackedSources(self.shards, self.places.take(indices))

    def __add__(self, others: Iterable[object]) -> tuple[object, ...]:
        return (*self, *others)

    def __radd__(self, others: Iterable[object]) -> tuple[object, ...]:
        return (*others, *self)


def encoded(name: str) -> bytes:
    """A file's name as bytes; it may hold some that are no text."""
    return name.encode(errors="surrogateescape")


def decoded(name: bytes) -> str:
    return name.decode(errors="surrogateescape")
