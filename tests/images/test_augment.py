"""Augmentation: distributions by SciPy, colors by Pillow and NumPy, randomness by its key."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import log, sqrt
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from scipy import stats

from googlenet.images.augment import (
    PCA_EIGENVALUES,
    PCA_EIGENVECTORS,
    Augmentation,
    ColorJitter,
    HorizontalFlip,
    PCANoise,
    RandomCrop,
    RandomResizedCrop,
    Step,
    flip_if_allowed,
)
from googlenet.images.preprocess import INTERPOLATIONS, Preprocessing
from tests.fixtures import noise, pixels


class Scripted:
    """A random generator that says what it is told to, and notes what it was asked."""

    def __init__(self, order: Sequence[int] = (), values: Sequence[float] = ()) -> None:
        self.order, self.values = list(order), list(values)
        self.ranges: list[tuple[float, float]] = []

    def permutation(self, count: int) -> list[int]:
        assert sorted(self.order) == list(range(count))
        return self.order

    def uniform(self, low: float, high: float) -> float:
        self.ranges.append((low, high))
        return self.values.pop(0)

    def normal(self, mean: float, deviation: float, size: int) -> NDArray[np.float64]:
        assert mean == 0
        return deviation * np.array([self.values.pop(0) for _ in range(size)])

    def generator(self) -> np.random.Generator:
        return cast(np.random.Generator, self)


def boxes(crop: RandomResizedCrop, width: int, height: int, count: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(0)
    return np.array([crop.box(width, height, rng) for _ in range(count)])


def test_area_aspect_and_place_are_uniform_in_their_ranges() -> None:
    """On an image on which every draw fits, so that none is rejected."""
    left, top, right, bottom = boxes(RandomResizedCrop(32, (0.08, 0.5)), 4000, 4000, 2000).T
    w, h = right - left, bottom - top
    area, aspect = w * h / 4000**2, np.log(w / h)
    widest = log(4 / 3)
    assert stats.kstest(area, stats.uniform(0.08, 0.42).cdf).pvalue > 0.01
    assert stats.kstest(aspect, stats.uniform(-widest, 2 * widest).cdf).pvalue > 0.01
    assert stats.kstest(left / (4000 - w), stats.uniform().cdf).pvalue > 0.01
    assert stats.kstest(top / (4000 - h), stats.uniform().cdf).pvalue > 0.01


def test_boxes_keep_their_bounds_on_an_ordinary_image() -> None:
    left, top, right, bottom = boxes(RandomResizedCrop(32, (0.08, 1.0)), 500, 375, 2000).T
    assert (left >= 0).all()
    assert (right <= 500).all()
    assert (top >= 0).all()
    assert (bottom <= 375).all()
    w, h = right - left, bottom - top
    assert (w * h).min() >= 0.08 * 500 * 375 * 0.98  # rounding to pixels
    assert (w / h).max() <= 4 / 3 * 1.02
    assert (w / h).min() >= 3 / 4 * 0.98
    assert (w * h).max() > 0.9 * 500 * 375


@pytest.mark.parametrize(
    ("width", "height", "box"),
    [
        (1000, 10, (493, 0, 506, 10)),  # 4/3 of 10 wide, in the center
        (10, 1000, (0, 493, 10, 506)),
        (1, 1, (0, 0, 1, 1)),
    ],
)
def test_image_too_long_for_the_ratios_gives_its_center(
    width: int, height: int, box: tuple[int, ...]
) -> None:
    crop = RandomResizedCrop(32, (0.9, 1.0))
    assert crop.box(width, height, np.random.default_rng(0)) == box


def test_crop_is_pillow_s_resize_of_its_box() -> None:
    photo = noise(60, 50)
    for name, method in INTERPOLATIONS.items():
        crop = RandomResizedCrop(32, (0.2, 1.0), interpolations=(name,))
        box = crop.box(60, 50, np.random.default_rng(5))
        expected = photo.resize((32, 32), method, box=box)
        assert np.array_equal(pixels(crop(photo, np.random.default_rng(5))), pixels(expected))


def test_interpolation_is_drawn_among_the_given() -> None:
    photo = noise(60, 50)
    names = ("bilinear", "area", "nearest", "bicubic")
    crop = RandomResizedCrop(32, (1.0, 1.0), (1.2, 1.2), names)  # one box only
    seen = {pixels(crop(photo, np.random.default_rng(seed))).tobytes() for seed in range(40)}
    box = crop.box(60, 50, np.random.default_rng(0))
    assert seen == {
        pixels(photo.resize((32, 32), INTERPOLATIONS[n], box=box)).tobytes() for n in names
    }


def test_bvlc_crop_is_a_window_of_the_squashed_image() -> None:
    photo = noise(500, 375)
    squashed = pixels(photo.resize((256, 256), Image.Resampling.BILINEAR))
    crop = RandomCrop(224)
    windows = np.lib.stride_tricks.sliding_window_view(squashed, (224, 224, 3))[:, :, 0]
    places = set()
    for seed in range(120):
        found = pixels(crop(photo, np.random.default_rng(seed)))
        (place,) = np.argwhere((windows[:, :, 0, 0] == found[0, 0]).all(-1)).tolist()
        assert np.array_equal(windows[tuple(place)], found)
        places.add(tuple(place))
    assert {p[0] for p in places} >= {0, 32}
    assert {p[1] for p in places} >= {0, 32}


def test_mirror_turns_every_second_image() -> None:
    photo = noise(8, 6)
    turned = 0
    for seed in range(400):
        out = pixels(HorizontalFlip()(photo, np.random.default_rng(seed)))
        mirrored = np.array_equal(out, pixels(photo)[:, ::-1])
        assert mirrored or np.array_equal(out, pixels(photo))
        turned += mirrored
    assert 160 < turned < 240  # 4 standard deviations


def test_no_mirror_where_it_changes_the_class() -> None:
    assert flip_if_allowed(Preprocessing()) == (HorizontalFlip(),)
    assert flip_if_allowed(Preprocessing(hflip=False)) == ()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_photometric_is_pillow_s_enhancers_in_the_drawn_order(order: tuple[int, ...]) -> None:
    photo = noise(16, 12)
    factors = [0.5, 1.5, 0.8]
    rng = Scripted(order, factors)
    out = ColorJitter()(photo, rng.generator())
    kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    expected = photo
    for kind, factor in zip(order, factors, strict=True):
        expected = kinds[kind](expected).enhance(factor)
    assert np.array_equal(pixels(out), pixels(expected))
    assert rng.ranges == [(0.5, 1.5)] * 3


def test_brightness_of_an_even_gray_stays_in_its_bounds() -> None:
    """Contrast and color leave an even gray alone, so only the brightness shows."""
    gray = Image.new("RGB", (4, 4), (100, 100, 100))
    values = [
        int(pixels(ColorJitter()(gray, np.random.default_rng(seed)))[0, 0, 0])
        for seed in range(300)
    ]
    assert 49 <= min(values) < 55
    assert 145 < max(values) <= 151


def test_factors_of_one_change_nothing() -> None:
    photo = noise(16, 12)
    out = ColorJitter((1.0, 1.0))(photo, np.random.default_rng(0))
    assert np.abs(pixels(out).astype(int) - pixels(photo)).max() <= 1


def test_lighting_shifts_along_the_principal_components() -> None:
    """Krizhevsky et al. 2012, section 4.1: [p1 p2 p3][α1 λ1, α2 λ2, α3 λ3]ᵀ is added."""
    photo = Image.new("RGB", (3, 2), (100, 120, 140))
    draws = [1.0, -2.0, 0.5]
    out = pixels(PCANoise(0.1)(photo, Scripted(values=draws).generator()))
    shift = sum(
        0.1 * draw * value * vector
        for draw, value, vector in zip(draws, PCA_EIGENVALUES, PCA_EIGENVECTORS.T, strict=True)
    )
    assert np.array_equal(out[0, 0], np.round(np.array([100, 120, 140]) + 255 * shift))


def test_lighting_stays_within_eight_bits() -> None:
    rng = Scripted(values=[-500.0, 0.0, 0.0])  # the first component is negative: brighter
    assert (pixels(PCANoise()(noise(9, 9), rng.generator())) == 255).all()


def test_components_are_orthonormal_and_brightness_comes_first() -> None:
    product = PCA_EIGENVECTORS.T @ PCA_EIGENVECTORS
    assert np.abs(product - np.eye(3)).max() < 1e-3
    assert sorted(PCA_EIGENVALUES, reverse=True) == list(PCA_EIGENVALUES)
    assert len(set(np.sign(PCA_EIGENVECTORS[:, 0]))) == 1


STEPS = (
    RandomResizedCrop(16, (0.1, 1.0), interpolations=("bilinear", "nearest")),
    HorizontalFlip(),
    ColorJitter(),
    PCANoise(),
)


def test_a_sample_depends_on_seed_epoch_and_index_alone() -> None:
    """In any order, twice over, in eight threads: the same pixels."""
    photo, augmentation = noise(40, 30), Augmentation(STEPS, seed=3)
    keys = [(epoch, index) for epoch in range(3) for index in range(8)]

    def made(key: tuple[int, int]) -> bytes:
        return pixels(augmentation(photo, *key)).tobytes()

    sort_labels = {key: made(key) for key in keys}
    backwards = {key: made(key) for key in reversed(keys)}
    with ThreadPoolExecutor(8) as pool:
        threaded = dict(zip(keys, pool.map(made, keys), strict=True))
    assert sort_labels == backwards == threaded
    assert len(set(sort_labels.values())) == len(keys)
    other = replace(augmentation, seed=4)
    assert pixels(other(photo, 0, 0)).tobytes() != sort_labels[0, 0]


@pytest.mark.parametrize("crop", [RandomResizedCrop(16, (0.1, 1.0)), RandomCrop(16)])
def test_other_side_is_that_of_a_crop_made_for_it(crop: RandomResizedCrop | RandomCrop) -> None:
    large, small = (Augmentation((c, *STEPS[1:]), 3) for c in (crop, replace(crop, size=12)))
    for seed in range(5):
        found = pixels(large(noise(40, 30), seed, 0, 12))
        assert np.array_equal(found, pixels(small(noise(40, 30), seed, 0)))


@pytest.mark.parametrize("step", [*STEPS, RandomCrop(16), Augmentation(STEPS, 1)])
def test_arrays_are_treated_as_images_are(step: Step | Augmentation) -> None:
    """By the same random numbers; to within a level inside, as Pillow's resize of a box looks
    at the pixels around it, too."""
    photo = noise(40, 30)
    for seed in range(5):
        if isinstance(step, Augmentation):
            one, other = (step(kind, seed, 2) for kind in (photo, pixels(photo)))
        else:
            one, other = (
                step(kind, np.random.default_rng(seed)) for kind in (photo, pixels(photo))
            )
        inner = np.abs(pixels(one).astype(int) - pixels(other))[2:-2, 2:-2]
        least = 1 if isinstance(step, RandomCrop | HorizontalFlip | ColorJitter | PCANoise) else 12
        assert inner.max() <= least


def test_images_are_shrunk_in_decoding_only_where_every_crop_is_larger() -> None:
    crop = RandomResizedCrop(32, (0.1, 1.0), (0.5, 2.0))
    for width, height in ((60, 50), (300, 200), (640, 480), (4000, 3000), (1500, 100)):
        factor = crop.dct_scale(width, height)
        boxes = [crop.box(width, height, np.random.default_rng(seed)) for seed in range(300)]
        least = min(min(r - left, b - top) for left, top, r, b in boxes)
        assert factor == 1 or least >= 32 * factor - 1
        # Not more carefully than that: twice as much would be too much for some crop.
        assert factor == 8 or sqrt(0.1 * width * height / 2) < 32 * 2 * factor
    assert [RandomCrop(224).dct_scale(side, 3000) for side in (511, 512, 1024, 2048, 9000)] == [
        *(1, 2, 4, 8, 8)
    ]
    assert Augmentation((crop, HorizontalFlip()), 0).dct_scale(4000, 3000) == 8
    assert Augmentation((HorizontalFlip(),), 0).dct_scale(4000, 3000) == 1
