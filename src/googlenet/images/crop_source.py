"""The parts of images that are kept where they are decoded, for `device` to make crops of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from googlenet.images.turbo_jpeg import DecodedImage

Box = tuple[int, int, int, int]  # left, top, right, bottom

# A crop source is at most so many times as long as its crop, which then looks the same.
MAX_SOURCE_RATIO = 4


@dataclass(frozen=True)
class CropSource:
    """What is in a crop's box: pixels (H, W, 3) uint8, which the crop may have mirrored.

    size: width and height in these pixels; of the last column and row a part may be meant.
    """

    pixels: NDArray[np.uint8]
    size: tuple[float, float]
    mirrored: bool


@dataclass(frozen=True)
class CropGeometry:
    """How crops of `side` pixels are made of a batch's cut-outs, which lie padded in one array.

    sizes: (N, 2) float32, width and height of each; mirrored: (N,) bool.
    """

    sizes: NDArray[np.float32]
    mirrored: NDArray[np.bool_]
    side: int

    def take(self, at: slice | NDArray[np.int64]) -> CropGeometry:
        """Those of some images of the batch."""
        return CropGeometry(self.sizes[at], self.mirrored[at], self.side)


def take_crop_source(image: DecodedImage, box: Box, side: int, mirrored: bool) -> CropSource:
    """The pixels in the box, averaged over whole numbers of them where they are very many.

    A cut-out is 4 · side pixels wide and high at most, so it takes 48 · side² bytes at most, 16
    times what its crop takes.  One that was averaged is still twice as long as its crop or longer.
    """
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    across, down = (-(-length // (MAX_SOURCE_RATIO * side)) for length in (width, height))
    # A copy: a view would keep all of the image in memory.
    pixels = np.array(
        image.crop(box) if isinstance(image, Image.Image) else image[top:bottom, left:right]
    )
    if max(across, down) > 1:
        pixels = np.asarray(Image.fromarray(pixels).reduce((across, down)))
    return CropSource(pixels, (width / across, height / down), mirrored)


def collate(cuts: Sequence[CropSource], side: int) -> tuple[NDArray[np.uint8], CropGeometry]:
    """Crop sources as one array (N, H, W, 3), and how crops of that side are made of it."""
    sizes = np.array([cut.size for cut in cuts], np.float32).reshape(-1, 2)
    mirrored = np.array([cut.mirrored for cut in cuts], np.bool_)
    return pad_stack([cut.pixels for cut in cuts]), CropGeometry(sizes, mirrored, side)


def pad_stack(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Images (H, W, 3) of any sizes as one array of the largest, each in its upper left corner."""
    height, width = (max((image.shape[axis] for image in images), default=0) for axis in (0, 1))
    whole = np.zeros((len(images), height, width, 3), np.uint8)
    for place, image in zip(whole, images, strict=True):
        place[: image.shape[0], : image.shape[1]] = image
    return whole
