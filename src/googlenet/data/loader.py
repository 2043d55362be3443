"""Photos to batches: the order of an epoch, bad files left out by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import ceil
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from googlenet.data.cache import DecodedCache
from googlenet.data.dataset import Samples
from googlenet.images.augment import Augmentation
from googlenet.images.crop_source import CropGeometry, collate
from googlenet.images.decode import ImageError, decode
from googlenet.images.lazy_jpeg import DamagedError, LazyJpeg, Photo, decode_turbo, open_jpeg
from googlenet.images.preprocess import Preprocessing
from googlenet.runtime.prefetch import prefetch as prefetch

DECODERS = ("pillow", "turbo")
AUGMENTS = ("host", "device")

Targets = NDArray[np.int64 | np.float32]
Made = TypeVar("Made")


@dataclass(frozen=True)
class Batch:
    """pixels: (N, size, size, channels) uint8; labels: (N,) int64, or (N, classes) float32 of 0
    and 1 where photos have several; bad: errors by sample name.

    cuts: of what is no crop yet, but (N, H, W, 3) RGB, how the device makes crops of it.
    """

    pixels: NDArray[np.uint8]
    labels: Targets
    unreadable: dict[str, str]
    cuts: CropGeometry | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, at: slice | NDArray[np.int64]) -> Batch:
        """A batch of these photos of it."""
        cuts = self.cuts and self.cuts.take(at)
        return Batch(self.pixels[at], self.labels[at], self.unreadable, cuts)


def epoch_order(samples: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The sample indices of an epoch: each sample once, in an order of (seed, epoch)."""
    return np.random.default_rng((seed, epoch)).permutation(samples)


def even_batches(draws: NDArray[np.int64], batch: int) -> list[NDArray[np.int64]]:
    """An epoch's draws in batches of equal size to within one: none is a small remainder."""
    return np.array_split(draws, ceil(len(draws) / batch))


@dataclass(frozen=True)
class TrainingLoader:
    """Augmented batches; what happens to a sample depends on (seed, epoch, draw) alone.

    A draw is a sample's index, plus the number of samples for each time that it was drawn
    before in this epoch: the same photo twice is not the same crop twice.
    """

    samples: Samples
    preprocessing: Preprocessing
    augmentation: Augmentation
    decoder: str = "pillow"  # one of `DECODERS`
    cache: DecodedCache | None = None
    augment: str = "host"  # one of `AUGMENTS`: where crops are resized and mirrored

    def image(self, index: int) -> Photo | LazyJpeg:
        """A photo as the augmentation takes it.  Raises ImageError."""
        source, reduction = self.samples.sources[index], self.augmentation.reduction

        def read() -> Photo:
            return decode_turbo(source, reduction) if self.decoder == "turbo" else decode(source)

        if self.cache:
            return self.cache.get(index, read)
        if self.decoder == "turbo" and self.augmentation.first_crop:
            return open_jpeg(source, reduction)
        return read()

    def map_images(
        self, make: Callable[[Photo | LazyJpeg, int], Made], draws: list[int], bad: dict[str, str]
    ) -> Iterator[tuple[int, Made]]:
        """Each draw's sample index and what is made of its photo; bad ones go to `bad`."""
        for draw in draws:
            index = draw % len(self.samples)
            try:
                try:
                    found = make(self.image(index), draw)
                except DamagedError:  # noticed only now, and dealt with as if it had been at once
                    found = make(decode(self.samples.sources[index]), draw)
            except ImageError as error:
                bad[self.samples.name(index)] = str(error)
                continue
            yield index, found

    def load(self, epoch: int, draws: Iterable[int], side: int | None = None) -> Batch:
        """The draws' photos, with crops of that side in pixels; of the model's size if None."""
        draws = list(map(int, draws))
        side = side or self.preprocessing.size
        bad: dict[str, str] = {}
        if self.augment == "device":
            cut = [
                *self.map_images(
                    lambda p, d: self.augmentation.crop_source(p, epoch, d, side), draws, bad
                )
            ]
            pixels, cuts = collate([found for _, found in cut], side)
            return Batch(pixels, self.samples.targets([index for index, _ in cut]), bad, cuts)
        loaded: list[int] = []
        # Each crop goes to its place while it is in the processor's cache.
        pixels = np.empty((len(draws), side, side, self.preprocessing.channels), np.uint8)
        for index, crop in self.map_images(
            lambda p, d: self.augmentation(p, epoch, d, side), draws, bad
        ):
            pixels[len(loaded)] = self.preprocessing.pixels(crop)
            loaded.append(index)
        return Batch(pixels[: len(loaded)], self.samples.targets(loaded), bad)
