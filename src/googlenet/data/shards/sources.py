"""The images of tar shards as a sequence of sources that takes little memory.

A million images as a tuple of paths take several hundred megabytes; here they are a few arrays,
about 50 bytes per image, and a source is made when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from googlenet.images.archived import ArchivedImage, Shard


@dataclass(frozen=True)
class ShardIndex:
    """Where images are: `shard` (an index), `offset` and `size` in bytes, and their `names`.

    The first three are integers (N,); `names` is UTF-8, one after another, and `name_offsets` (N,)
    where each one ends.
    """

    shard: NDArray[np.integer]
    offset: NDArray[np.integer]
    size: NDArray[np.integer]
    names: NDArray[np.uint8]
    name_offsets: NDArray[np.integer]

    def __len__(self) -> int:
        return len(self.shard)

    def name(self, index: int) -> str:
        begin = int(self.name_offsets[index - 1]) if index else 0
        return decode_name(self.names[begin : int(self.name_offsets[index])].tobytes())

    def arrays(self) -> tuple[NDArray[Any], ...]:
        return self.shard, self.offset, self.size, self.names, self.name_offsets

    @classmethod
    def of(cls, rows: Sequence[tuple[int, int, int, str]]) -> ShardIndex:
        """From (shard, offset, size, name) of each image."""
        shard, offset, size = (np.array([row[i] for row in rows], np.int64) for i in range(3))
        names = [encoded(row[3]) for row in rows]
        name_offsets = np.cumsum([len(name) for name in names], dtype=np.int64)
        return cls(
            shard.astype(np.int32),
            offset,
            size,
            np.frombuffer(b"".join(names), np.uint8),
            name_offsets,
        )

    def take(self, indices: Sequence[int] | NDArray[np.integer]) -> ShardIndex:
        chosen = np.asarray(indices, np.int64)
        begins = np.concatenate([[0], self.name_offsets[:-1]]) if len(self) else self.name_offsets
        names = [self.names[begins[i] : self.name_offsets[i]] for i in chosen]
        name_offsets = np.cumsum((self.name_offsets - begins)[chosen], dtype=np.int64)
        joined = np.concatenate([np.empty(0, np.uint8), *names])
        return ShardIndex(
            self.shard[chosen], self.offset[chosen], self.size[chosen], joined, name_offsets
        )


@dataclass(frozen=True)
class ShardSources(Sequence[ArchivedImage]):
    """The images of some shards, in an order that is the data set's and not the shards'."""

    shards: tuple[Shard, ...]
    places: ShardIndex

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> ArchivedImage: ...
    @overload
    def __getitem__(self, index: slice) -> ShardSources: ...
    def __getitem__(self, index: int | slice) -> ArchivedImage | ShardSources:
        if isinstance(index, slice):
            return self.take(range(len(self))[index])
        at = range(len(self))[index]  # negative ones too, and IndexError
        places = self.places
        return ArchivedImage(
            self.shards[places.shard[at]],
            int(places.offset[at]),
            int(places.size[at]),
            places.name(at),
        )

    def take(self, indices: Sequence[int] | NDArray[np.integer]) -> ShardSources:
        return ShardSources(self.shards, self.places.take(indices))

    def __add__(self, others: Iterable[object]) -> tuple[object, ...]:
        return (*self, *others)

    def __radd__(self, others: Iterable[object]) -> tuple[object, ...]:
        return (*others, *self)


def encoded(name: str) -> bytes:
    """A file's name as bytes; it may hold some that are not text."""
    return name.encode(errors="surrogateescape")


def decode_name(name: bytes) -> str:
    return name.decode(errors="surrogateescape")
