"""Photos to batches: the order of an epoch, bad files left out by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from googlenet.data.cache import DecodedCache
from googlenet.data.dataset import Samples
from googlenet.data.prefetch import prefetch as prefetch
from googlenet.images.augment import Augmentation
from googlenet.images.decode import ImageError, decode
from googlenet.images.preprocess import Preprocessing
from googlenet.images.turbo import Photo, decode_turbo

DECODERS = ("pillow", "turbo")


@dataclass(frozen=True)
class Batch:
    """pixels: (N, size, size, channels) uint8; labels: (N,) int64; bad: errors by sample name."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    bad: dict[str, str]

    def __len__(self) -> int:
        return len(self.labels)


def equal_batches(draws: NDArray[np.int64], batch: int) -> list[NDArray[np.int64]]:
    """An epoch's draws in batches of equal size to within one: none is a small remainder."""
    return np.array_split(draws, ceil(len(draws) / batch))


@dataclass(frozen=True)
class TrainingLoader:
    """Augmented batches; what happens to a sample depends on (seed, epoch, index) alone."""

    samples: Samples
    preprocessing: Preprocessing
    augmentation: Augmentation
    decoder: str = "pillow"  # one of `DECODERS`
    cache: DecodedCache | None = None

    def photo(self, index: int) -> Photo:
        """A photo as the augmentation takes it.  Raises ImageError."""
        source = self.samples.sources[index]

        def read() -> Photo:
            if self.decoder == "turbo":
                return decode_turbo(source, self.augmentation.reduction)
            return decode(source)

        return self.cache.get(index, read) if self.cache else read()

    def load(self, epoch: int, indices: Iterable[int]) -> Batch:
        pixels, labels, bad = [], [], {}
        for index in map(int, indices):
            try:
                photo = self.photo(index)
            except ImageError as error:
                bad[self.samples.name(index)] = str(error)
                continue
            crop = self.augmentation(photo, epoch, index)
            pixels.append(self.preprocessing.pixels(crop))
            labels.append(self.samples.labels[index])
        size, channels = self.preprocessing.size, self.preprocessing.channels
        empty = np.empty((0, size, size, channels), np.uint8)
        return Batch(np.stack(pixels) if pixels else empty, np.array(labels, np.int64), bad)
