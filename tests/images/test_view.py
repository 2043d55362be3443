"""The center view alone: the bits of Pillow's resize of the whole image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from googlenet.images import turbo_jpeg
from googlenet.images.decode import ImageError, decode
from googlenet.images.library import LIBRARY
from googlenet.images.preprocess import IMAGENET_MEAN, Preprocessing
from googlenet.images.view import (
    center_view,
    columns_first,
    kernels_for,
    load_view,
    resizer,
    to_nchw,
)
from googlenet.images.views import center
from tests.fixtures import encoded, noise

WITH_KERNEL = [
    *((h, w) for h in (17, 40, 96, 131) for w in (17, 40, 97, 200)),
    *((1, 1), (1, 40), (300, 150), (299, 500), (64, 64)),
]


@pytest.fixture
def kernels() -> None:
    if resizer() is None:
        pytest.skip("no C++ compiler, or a processor without AVX2")


@pytest.fixture
def no_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("GOOGLENET_NATIVE", "0")
    LIBRARY.forget()
    resizer.cache_clear()
    yield
    LIBRARY.forget()
    resizer.cache_clear()


def expected(photo: Image.Image, p: Preprocessing) -> np.ndarray:
    return p.pixels(next(center(photo, p)))


@pytest.mark.parametrize("order", ["RGB", "BGR", "L"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos", "nearest"])
@pytest.mark.parametrize("mode", ["crop", "squash", "letterbox"])
def test_the_bits_of_pillow(mode: str, interpolation: str, order: str) -> None:
    """Enlarged and shrunk, high and wide, views of all and of a part of the resized image."""
    channels = 1 if order == "L" else 3
    for seed, (height, width) in enumerate(WITH_KERNEL):
        for size, resize in ((56, 64), (64, 64), (33, 80), (1, 7)):
            p = Preprocessing(
                size, resize, mode, interpolation, order, (100.0,) * channels, (0.02,) * channels
            )
            photo = noise(width, height, seed)
            np.testing.assert_array_equal(center_view(photo, p), expected(photo, p))
            np.testing.assert_array_equal(center_view(np.asarray(photo), p), expected(photo, p))


def test_any_size(kernels: None) -> None:
    """By the kernel, not by Pillow twice."""
    rng, done = np.random.default_rng(0), 0
    for _ in range(300):
        height, width, resize = (int(n) for n in rng.integers(1, 260, 3))
        p = Preprocessing(
            int(rng.integers(1, resize + 1)), resize,
            str(rng.choice(["crop", "squash"])), str(rng.choice(["bilinear", "bicubic"])),
        )  # fmt: skip
        if max(p.resized_size((width, height), resize)) > 4000:
            continue
        photo = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        done += kernels_for((width, height), p) is not None
        np.testing.assert_array_equal(center_view(photo, p), expected(photo, p))
    assert done > 150


def test_rows_before_columns_is_left_to_pillow() -> None:
    p = Preprocessing(8, 8)
    assert columns_first((200, 100), p.resized_size((200, 100), 8))
    assert columns_first((100, 150), p.resized_size((100, 150), 8))
    assert not columns_first((100, 201), p.resized_size((100, 201), 8))
    assert not columns_first((100, 150), (50, 50))  # squashed: it loses more rows


def test_without_the_kernel_it_is_pillow(no_kernels: None) -> None:
    p = Preprocessing(56, 64)
    assert kernels_for((200, 100), p) is None
    photo = noise(200, 100)
    np.testing.assert_array_equal(center_view(photo, p), expected(photo, p))
    views = [expected(noise(90, 80, seed), p) for seed in range(3)]
    normalized = p.normalize(torch.from_numpy(np.stack(views))).numpy()
    np.testing.assert_array_equal(to_nchw(views, p), normalized)


def test_an_image_of_another_kind() -> None:
    gray, p = noise(90, 80).convert("L"), Preprocessing(56, 64)
    np.testing.assert_array_equal(center_view(gray, p), expected(gray, p))


@pytest.mark.parametrize("order", ["RGB", "BGR", "L"])
def test_planes_are_the_normalized_bits(order: str) -> None:
    channels = 1 if order == "L" else 3
    p = Preprocessing(
        56, 64, channel_order=order, mean=IMAGENET_MEAN[:channels], scale=(1 / 57.5,) * channels
    )
    views = [center_view(noise(90, 80, seed), p) for seed in range(3)]
    normalized = p.normalize(torch.from_numpy(np.stack(views))).numpy()
    np.testing.assert_array_equal(to_nchw(views, p), normalized)
    np.testing.assert_array_equal(to_nchw(np.stack(views), p), normalized)


@pytest.mark.parametrize("turbo", [True, False])
def test_load_view_is_decoded_and_cut(
    turbo: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By either decoder, within a level; what is refused is refused in the same words."""
    if turbo:
        pytest.importorskip("simplejpeg")
    monkeypatch.setattr(turbo_jpeg, "available", lambda: turbo)
    p = Preprocessing(56, 64)
    grains = noise(12, 8).resize((150, 100), Image.Resampling.BICUBIC)
    content = encoded(grains, "JPEG")
    off = np.abs(load_view(content, p).astype(int) - expected(decode(content), p))
    assert off.max() <= 1
    bad = tmp_path / "bad.jpg"
    for broken in (b"", b"no photo", content[: len(content) // 2]):
        bad.write_bytes(broken)
        with pytest.raises(ImageError) as theirs:
            decode(bad)
        with pytest.raises(ImageError) as ours:
            load_view(bad, p)
        assert str(ours.value) == str(theirs.value)
