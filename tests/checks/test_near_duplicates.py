"""Which images are alike, against SciPy's cosine transform and against a search by hand."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from googlenet.checks import near_duplicates as module
from googlenet.checks.near_duplicates import (
    COARSE,
    FINE,
    MIN_SIMILARITY,
    SIDE,
    Thumbnails,
    candidates,
    cosine_terms,
    cropped_windows,
    near_duplicates,
    signature,
    thumbnail,
    whole_window,
)
from googlenet.images.decode import decode
from tests.fixtures import encoded


def scene(seed: int, width: int = 160, height: int = 120) -> Image.Image:
    """An image-like picture: colored spots of every size, its spectrum falling as an image's."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((height, width, 3))
    for side in (3, 6, 12, 24, 48):
        spots = Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))
        pixels += np.asarray(spots.resize((width, height), Image.Resampling.BICUBIC)) / side
    pixels -= pixels.min()
    return Image.fromarray((255 * pixels / pixels.max()).astype(np.uint8))


def again(image: Image.Image, quality: int) -> Image.Image:
    return decode(encoded(image, "JPEG", quality=quality))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "re-encoded": lambda image: again(image, 30),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "squashed": lambda image: image.resize((100, 100)),
    "cropped": lambda image: image.crop((8, 6, image.width, image.height)),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(1.5)),
    "gray": lambda image: image.convert("L").convert("RGB"),
}


def stacked(*photos: Image.Image) -> Thumbnails:
    return np.stack([thumbnail(photo) for photo in photos])


@pytest.mark.parametrize("change", CHANGES)
def test_changed_image_is_found(change: str) -> None:
    photos = [scene(n) for n in range(12)]
    changed = CHANGES[change](photos[5])
    found = list(near_duplicates(stacked(*photos, changed), 12))
    assert [(pair.first, pair.second) for pair in found] == [(5, 12)]
    assert MIN_SIMILARITY <= found[0].similarity <= 1.0001


def test_image_is_itself() -> None:
    ((first, second, similarity),) = near_duplicates(stacked(scene(0), scene(0)), 2)
    assert (first, second) == (0, 1)
    assert similarity == pytest.approx(1, abs=1e-5)


def test_flat_images_are_like_nothing() -> None:
    """A white page and a gray one have nothing by which they could be told."""
    pages = [Image.new("RGB", (64, 64), (level,) * 3) for level in (255, 255, 128)]
    assert list(near_duplicates(stacked(*pages), 3)) == []


def test_no_image_and_one_image() -> None:
    assert list(near_duplicates(np.zeros((0, SIDE, SIDE), np.uint8), 0)) == []
    assert list(near_duplicates(stacked(scene(0)), 1)) == []


@pytest.mark.parametrize("terms", [COARSE, FINE])
def test_signature_is_scipy_s_cosine_transform(terms: int) -> None:
    fft = pytest.importorskip("scipy.fft")
    pictures = np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE)).astype(np.float32)
    small = pictures
    if terms == FINE:  # each sample the mean of four
        small = pictures.reshape(5, FINE, 2, FINE, 2).mean((2, 4))
    expected = fft.dctn(small, axes=(1, 2), norm="ortho")[:, :terms, :terms].reshape(5, -1)[:, 1:]
    expected = np.sign(expected) * np.sqrt(np.abs(expected))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert (
        np.abs(signature(pictures, whole_window(terms), whole_window(terms)) - expected).max()
        < 1e-4
    )


def test_windows_are_inside_and_keep_the_mean() -> None:
    """The first term of a constant is its value times √samples, whatever part is looked at."""
    assert len(cropped_windows()) == 4 * 9
    for rows, columns in cropped_windows():
        for transform in (rows, columns):
            terms = transform @ np.full(SIDE, 7.0)
            assert terms[0] == pytest.approx(7 * np.sqrt(FINE), rel=1e-5)
            assert np.abs(terms[1:]).max() < 1e-3
    right_half = cosine_terms(FINE, 0.5, 0.5) @ np.r_[np.full(16, 9.0), np.full(16, 2.0)]
    assert right_half[0] == pytest.approx(2 * np.sqrt(FINE), rel=1e-5)


@pytest.mark.parametrize("boundary", [0, 7, 40, 60])
def test_candidates_are_the_pairs_that_a_search_by_hand_finds(
    boundary: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", 16)  # so that blocks and the boundary cross
    monkeypatch.setattr(module, "MIN_CANDIDATE_SIMILARITY", 0.3)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 20)).astype(np.float32)
    vectors[20:] += vectors[rng.integers(0, 20, 40)]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = {(a, b) for a, b in combinations(range(60), 2) if vectors[a] @ vectors[b] >= 0.3}
    found = list(candidates(vectors, boundary))
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert len(expected) > 50


def test_one_image_many_times_stays_few_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NEIGHBORS", 2)
    pairs = list(near_duplicates(np.repeat(stacked(scene(1)), 40, axis=0), 20))
    assert len(pairs) <= 2 * 2 * 40
    assert {pair.second for pair in pairs} == set(range(1, 40))
    leaking = {pair.second for pair in pairs if pair.first < 20 <= pair.second}
    assert leaking == set(range(20, 40))


def test_real_images(shared_data: Path) -> None:
    """Of 50 unrelated ones no two are alike; re-encoded at half the size each is found."""
    paths = sorted((shared_data / "ilsvrc2012-val-50-original" / "images").iterdir())
    photos = [decode(path) for path in paths]
    assert list(near_duplicates(stacked(*photos), 50)) == []
    copies = [again(photo.reduce(2), 60) for photo in photos]
    found = {(pair.first, pair.second) for pair in near_duplicates(stacked(*photos, *copies), 50)}
    assert found == {(n, 50 + n) for n in range(50)}


def test_thumbnail_is_the_mean_of_areas() -> None:
    levels = np.arange(64, dtype=np.uint8)
    photo = Image.fromarray(np.broadcast_to(levels, (64, 64)).copy()).convert("RGB")
    small = thumbnail(Image.open(BytesIO(encoded(photo))))
    assert small.shape == (SIDE, SIDE)
    assert np.abs(small[0].astype(float) - (levels[::2] + 0.5)).max() <= 0.5
