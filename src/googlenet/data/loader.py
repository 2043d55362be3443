"""Images to batches: the order of an epoch, unreadable files reported by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import ceil
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from googlenet.data.cache import MemoryCache
from googlenet.data.dataset import Samples
from googlenet.images.augment import Augmentation
from googlenet.images.crop_source import CropGeometry, CropSource, collate
from googlenet.images.decode import ImageError, decode
from googlenet.images.preprocess import Preprocessing
from googlenet.images.turbo_jpeg import DecodedImage, decode_turbo
from googlenet.runtime.prefetch import prefetch as prefetch

DECODERS = ("pillow", "turbo")
AUGMENTS = ("host", "device")

Targets = NDArray[np.int64 | np.float32]
Made = TypeVar("Made")


@dataclass(frozen=True)
class Batch:
    """pixels: (N, size, size, channels) uint8; labels: (N,) int64, or (N, classes) float32 of 0
    and 1 where images have several; unreadable: errors by sample name.

    cuts: for what is not a crop yet but (N, H, W, 3) RGB, how the device makes crops of it.
    """

    pixels: NDArray[np.uint8]
    labels: Targets
    unreadable: dict[str, str]
    cuts: CropGeometry | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, at: slice | NDArray[np.int64]) -> Batch:
        """A batch of some of its images."""
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
    before in this epoch: the same image twice is not the same crop twice.
    """

    samples: Samples
    preprocessing: Preprocessing
    augmentation: Augmentation
    decoder: str = "pillow"  # one of `DECODERS`
    cache: MemoryCache | None = None
    augment: str = "host"  # one of `AUGMENTS`: where crops are resized and mirrored

    def image(self, index: int) -> DecodedImage:
        """An image as the augmentation takes it.  Raises ImageError."""
        source = self.samples.sources[index]

        def read() -> DecodedImage:
            if self.decoder == "turbo":
                return decode_turbo(source, self.augmentation.dct_scale)
            return decode(source)

        return self.cache.get(index, read) if self.cache else read()

    def map_images(
        self,
        make: Callable[[DecodedImage, int], Made],
        draws: list[int],
        unreadable: dict[str, str],
    ) -> Iterator[tuple[int, Made]]:
        """Each draw's sample index and what is made of its image; errors go to `unreadable`."""
        for draw in draws:
            index = draw % len(self.samples)
            try:
                yield index, make(self.image(index), draw)
            except ImageError as error:
                unreadable[self.samples.name(index)] = str(error)

    def load(self, epoch: int, draws: Iterable[int], side: int | None = None) -> Batch:
        """The draws' images, with crops of that side in pixels; of the model's size if None."""
        draws = list(map(int, draws))
        side = side or self.preprocessing.size
        unreadable: dict[str, str] = {}
        if self.augment == "device":

            def crop_source(image: DecodedImage, draw: int) -> CropSource:
                return self.augmentation.crop_source(image, epoch, draw, side)

            found = [*self.map_images(crop_source, draws, unreadable)]
            pixels, geometry = collate([source for _, source in found], side)
            targets = self.samples.targets([index for index, _ in found])
            return Batch(pixels, targets, unreadable, geometry)
        loaded: list[int] = []
        # Each crop goes to its place while it is in the CPU's cache.
        pixels = np.empty((len(draws), side, side, self.preprocessing.channels), np.uint8)
        for index, crop in self.map_images(
            lambda p, d: self.augmentation(p, epoch, d, side), draws, unreadable
        ):
            pixels[len(loaded)] = self.preprocessing.pixels(crop)
            loaded.append(index)
        return Batch(pixels[: len(loaded)], self.samples.targets(loaded), unreadable)
