"""Sources of crops, cut out of images, for every kind of image: by hand, against the whole crop."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from googlenet.images.augment import Augmentation, HorizontalFlip, RandomResizedCrop, resized_crop
from googlenet.images.crop_source import CropSource, collate, take_crop_source
from googlenet.images.device_crops import cropped
from googlenet.images.preprocess import Preprocessing
from googlenet.images.turbo_jpeg import DecodedImage, decode_turbo
from tests.fixtures import encoded, noise, pixels

SIZE = 16
DRAWN = Augmentation((RandomResizedCrop(SIZE, (0.1, 1.0)), HorizontalFlip()), seed=3)
LEVELS = Preprocessing(size=SIZE, resize_size=SIZE, mean=(0, 0, 0), scale=(1, 1, 1))
IMAGE = noise(60, 50)


def crop_of(cut: CropSource, preprocessing: Preprocessing = LEVELS) -> NDArray[np.float32]:
    """The crop (SIZE, SIZE, C) that the device makes."""
    array, cuts = collate([cut], SIZE)
    crop = cropped(torch.from_numpy(array), cuts, preprocessing)[0]
    return np.asarray(crop.permute(1, 2, 0))


def test_box_and_mirroring_are_those_of_the_host() -> None:
    """To the bit, where the host resizes what was cut out: the same random numbers."""
    photo, mirrored = pixels(IMAGE), 0
    for draw in range(20):
        cut = DRAWN.crop_source(photo, 5, draw)
        height, width = cut.pixels.shape[:2]
        assert cut.size == (width, height)
        host = resized_crop(cut.pixels, (0, 0, width, height), (SIZE, SIZE), "bilinear")
        expected = pixels(DRAWN(photo, 5, draw))
        assert np.array_equal(host[:, ::-1] if cut.mirrored else host, expected)
        larger = DRAWN.crop_source(photo, 5, draw, 24)
        assert np.array_equal(larger.pixels, cut.pixels)
        mirrored += cut.mirrored
    assert 0 < mirrored < 20


KINDS: dict[str, Callable[[], DecodedImage]] = {
    "image": lambda: IMAGE,
    "array": lambda: pixels(IMAGE),
    "JPEG": lambda: decode_turbo(encoded(IMAGE, "JPEG")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_crops_are_the_hosts_within_a_level(kind: str) -> None:
    """Of the host's arrays all over; of its images, whose crops look beyond the box, inside."""
    edge = 2 if kind == "image" else 0
    inner = slice(edge, SIZE - edge)
    crop = Augmentation((RandomResizedCrop(SIZE, (0.5, 1.0)), HorizontalFlip()), seed=3)
    for draw in range(10):
        photo = KINDS[kind]()
        host = pixels(crop(photo, 5, draw)).astype(np.float32)
        assert np.abs(crop_of(crop.crop_source(photo, 5, draw)) - host)[inner, inner].max() <= 1.01


@pytest.mark.parametrize("order", ["BGR", "L"])
def test_network_s_order_of_channels(order: str) -> None:
    channels = 1 if order == "L" else 3
    p = Preprocessing(
        SIZE, SIZE, channel_order=order, mean=(9.0,) * channels, scale=(0.5,) * channels
    )
    cut = DRAWN.crop_source(pixels(IMAGE), 0, 0)
    host = p.normalize(torch.from_numpy(p.pixels(pixels(DRAWN(pixels(IMAGE), 0, 0))).copy())[None])
    expected = host[0].permute(1, 2, 0).numpy()
    assert np.abs(crop_of(cut, p) - expected).max() <= 0.5 * 1.51  # rounded three times for L


def test_large_cut_outs_are_shrunk_as_pillow_shrinks_in_two_steps() -> None:
    """400 by 300 for 16: by 7 and 5, which `reducing_gap` has of 25 / 7 and 18.75 / 5."""
    photo = noise(400, 300)
    cut = take_crop_source(photo, (0, 0, 400, 300), SIZE, mirrored=False)
    assert cut.pixels.shape == (60, 58, 3)
    assert cut.size == (400 / 7, 60)
    expected = photo.resize((SIZE, SIZE), Image.Resampling.BILINEAR, reducing_gap=25 / 7 - 0.01)
    assert np.abs(crop_of(cut) - pixels(expected)).max() <= 1.01


@pytest.mark.parametrize("side", [32, 17, 5])
def test_no_image_makes_a_batch_large(side: int) -> None:
    """48 · side² bytes an image, and at least twice the crop's pixels where it was shrunk."""
    sizes = [(500, 700), (1500, 90), (3, 2), (4 * side, 4 * side + 1), (1, 1)]
    photos = [np.zeros((height, width, 3), np.uint8) for width, height in sizes]
    cuts = [
        take_crop_source(p, (0, 0, *size), side, False)
        for p, size in zip(photos, sizes, strict=True)
    ]
    array, kept = collate(cuts, side)
    assert array.nbytes <= 48 * side**2 * len(photos)
    for found, size in zip(kept.sizes, sizes, strict=True):
        for length, before in zip(found, size, strict=True):
            assert length == before or 2 * side <= length <= 4 * side
    assert all(not np.shares_memory(cut.pixels, p) for cut, p in zip(cuts, photos, strict=True))


def test_batch_is_padded_with_nothing_that_counts() -> None:
    cuts = [DRAWN.crop_source(pixels(IMAGE), 0, draw) for draw in range(4)]
    array, kept = collate(cuts, SIZE)
    whole = cropped(torch.from_numpy(array), kept, LEVELS)
    for crop, cut in zip(whole, cuts, strict=True):
        assert np.allclose(crop.permute(1, 2, 0).numpy(), crop_of(cut), atol=1e-3)


def test_empty_batch() -> None:
    array, kept = collate([], SIZE)
    assert array.shape == (0, 0, 0, 3)
    assert kept.sizes.shape == (0, 2)


def test_some_images_of_a_batch() -> None:
    array, kept = collate([DRAWN.crop_source(pixels(IMAGE), 0, draw) for draw in range(4)], SIZE)
    at = np.array([2, 2])
    whole = cropped(torch.from_numpy(array), kept, LEVELS)
    some = cropped(torch.from_numpy(array[at]), kept.take(at), LEVELS)
    assert torch.allclose(some, whole[at], atol=1e-3)


def test_crops_are_precise_where_the_network_computes_in_bfloat16() -> None:
    array, kept = collate([DRAWN.crop_source(pixels(IMAGE), 0, 0)], SIZE)
    expected = cropped(torch.from_numpy(array), kept, LEVELS)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(cropped(torch.from_numpy(array), kept, LEVELS), expected)
