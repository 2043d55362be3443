"""Maps in the image's own pixels: where they lie, and what they add up to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from googlenet.images.decode import decode
from googlenet.images.preprocess import Preprocessing
from googlenet.images.views import center
from googlenet.insight.image_map import as_stored, encode_map, to_image, turn_of

PRESETS = [
    Preprocessing(size=32, resize_size=40, mode=mode) for mode in ("crop", "squash", "letterbox")
]


@pytest.mark.parametrize("p", PRESETS, ids=lambda p: p.mode)
@pytest.mark.parametrize("size", [(120, 80), (61, 200), (30, 20)])
def test_a_spot_comes_back_to_where_it_was(p: Preprocessing, size: tuple[int, int]) -> None:
    """A gray ramp as an image: the view's own pixels, as a map, give the ramp again."""
    width, height = size
    ramp = np.add.outer(np.arange(height) / height, np.arange(width) / width) * 127
    image = Image.fromarray(ramp.astype(np.uint8)).convert("RGB")
    view = np.asarray(next(center(image, p)).convert("L"), np.float32)
    found = to_image(view, size, p)
    assert found.shape == (height, width)
    assert found.dtype == np.float32
    inside = found[height // 2 - height // 9 : height // 2 + height // 9,
                   width // 2 - width // 9 : width // 2 + width // 9]  # fmt: skip
    expected = ramp[height // 2 - height // 9 : height // 2 + height // 9,
                    width // 2 - width // 9 : width // 2 + width // 9]  # fmt: skip
    assert np.abs(inside - expected).max() < 6


def test_outside_the_view_there_is_nothing() -> None:
    p = Preprocessing(size=20, resize_size=20)
    found = to_image(np.ones((5, 5), np.float32), (100, 50), p)
    np.testing.assert_array_equal(found[:, :25], 0)
    np.testing.assert_array_equal(found[:, 75:], 0)
    np.testing.assert_allclose(found[:, 25:75], 1, rtol=1e-6)


@pytest.mark.parametrize("size", [(100, 50), (9, 12)])
@pytest.mark.parametrize("p", PRESETS[:2], ids=lambda p: p.mode)
def test_sums_are_kept(p: Preprocessing, size: tuple[int, int]) -> None:
    view = np.random.default_rng(0).normal(size=(32, 32)).astype(np.float32) + 1
    assert to_image(view, size, p, conserve=True).sum() == pytest.approx(view.sum(), rel=1e-4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_maps_lie_as_the_file_s_pixels_do(orientation: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = orientation
    path = tmp_path / "image.png"
    image.save(path, exif=exif)
    upright = np.asarray(decode(path).convert("L"), np.float32)
    with Image.open(path) as opened:
        for source in (path, str(path), path.read_bytes(), opened):
            np.testing.assert_array_equal(as_stored(upright, turn_of(source)), pixels)
    assert turn_of(pixels) is None
    assert turn_of(b"damaged") is None


def test_the_file_has_the_key(tmp_path: Path) -> None:
    path = tmp_path / "map.npz"
    path.write_bytes(encode_map(np.eye(3, dtype=np.float32)))
    with np.load(path) as found:
        np.testing.assert_array_equal(found["map"], np.eye(3))
