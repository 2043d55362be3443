"""An image that is part of a larger file: where its bytes are, and what it is called."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from googlenet.runtime.errors import GoogLeNetError

OPEN_FILES = 128  # a process may often have no more than 1,024


class Shard(Protocol):
    """A file of many images; `str()` of it is what to call it."""

    def read(self, offset: int, size: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """`size` bytes at `offset` of a shard: an image's whole file, called `name` in there."""

    shard: Shard
    offset: int
    size: int
    name: str

    def __str__(self) -> str:
        return f"{self.shard}/{self.name}"

    def read(self) -> bytes:
        """The image's file.  Raises GoogLeNetError if the shard cannot be read.

        That is not the image's fault and must end the run: a whole shard would be skipped.
        """
        content = self.shard.read(self.offset, self.size)
        if len(content) != self.size:
            raise GoogLeNetError(f"{self.shard}: ends before its image {self.name} does")
        return content


@dataclass(frozen=True, slots=True)
class LocalShard:
    """A shard on this machine; any number of threads may read it at once."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def read(self, offset: int, size: int) -> bytes:
        try:
            file = descriptor(self.path)  # held: dropped elsewhere, it would be closed meanwhile
            return os.pread(file.number, size, offset)
        except OSError as error:
            raise GoogLeNetError(f"{self.path}: cannot be read ({error.strerror})") from error


class Descriptor:
    """An open file, closed when its last user, in any thread, is done."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self.number)  # an argument: at the end of the process `os` is gone first


@lru_cache(maxsize=OPEN_FILES)
def descriptor(path: Path) -> Descriptor:
    return Descriptor(os.open(path, os.O_RDONLY))
