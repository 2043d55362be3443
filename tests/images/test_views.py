"""Every crop box, proved on images whose pixels say where they come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from googlenet.images.preprocess import MODES, Preprocessing, resize_size
from googlenet.images.views import VIEWS, center_region, view_count
from tests.fixtures import noise, pixels

Pixels = NDArray[np.uint8]
# "nearest" moves pixels and mixes none, so that each still says where it comes from.
NEAREST = Preprocessing(interpolation="nearest")
ORIENTATIONS = {"landscape": (1056, 704), "portrait": (704, 1056), "square": (704, 704)}
# Shorter sides for 144 views, and of them the crops' offsets: 256, 288, 320, 352 for 224.
SCALES = {224: (256, 288, 320, 352), 112: (128, 144, 160, 176), 96: (110, 123, 137, 151)}


def coordinates(width: int, height: int) -> Pixels:
    """An image whose pixel at (x, y) holds x and y: low bytes in red and green, high in blue."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([x % 256, y % 256, x // 256 * 16 + y // 256], axis=2).astype(np.uint8)


def nearest(photo: Pixels, width: int, height: int) -> Pixels:
    """The image at another size, each pixel one of its own."""
    return pixels(Image.fromarray(photo).resize((width, height), Image.Resampling.NEAREST))


def shorter_side(photo: Pixels, side: int) -> Pixels:
    height, width = photo.shape[:2]
    factor = side / min(width, height)
    return nearest(photo, round(width * factor), round(height * factor))


def expected_144(photo: Pixels, size: int) -> Iterator[Pixels]:
    """The paper's views, section 7, in plain indexing."""
    for side in SCALES[size]:
        resized = shorter_side(photo, side)
        height, width = resized.shape[:2]
        for place in (0, 0.5, 1):
            top, left = int((height - side) * place), int((width - side) * place)
            square = resized[top : top + side, left : left + side]
            end, middle = side - size, (side - size) // 2
            crops = [
                square[:size, :size],
                square[:size, end:],
                square[end:, :size],
                square[end:, end:],
                square[middle : middle + size, middle : middle + size],
                nearest(square, size, size),
            ]
            for crop in crops:
                yield crop
                yield crop[:, ::-1]


@pytest.mark.parametrize("size", SCALES)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_one_of_144_boxes(orientation: str, size: int) -> None:
    photo = coordinates(*ORIENTATIONS[orientation])
    p = replace(NEAREST, size=size, resize_size=resize_size(size))
    views = [pixels(view) for view in VIEWS[144](Image.fromarray(photo), p)]
    expected = list(expected_144(photo, size))
    assert len(views) == len(expected) == 144
    for at, (view, wanted) in enumerate(zip(views, expected, strict=True)):
        assert np.array_equal(view, wanted), f"view {at}"


def test_144_boxes_of_a_landscape_image_by_hand() -> None:
    """An image of 528×352 at scale 352 is not resized: its pixels are the boxes' corners."""
    photo = Image.fromarray(coordinates(528, 352))
    at_352 = [pixels(view) for view in VIEWS[144](photo, NEAREST)][108:]
    corners = [(red + 256 * (blue // 16), green) for red, green, blue in
               (view[0, 0].tolist() for view in at_352)]  # fmt: skip
    left, center, right = (corners[start : start + 10 : 2] for start in (0, 12, 24))
    assert left == [(0, 0), (128, 0), (0, 128), (128, 128), (64, 64)]
    assert center == [(88, 0), (216, 0), (88, 128), (216, 128), (152, 64)]
    assert right == [(176, 0), (304, 0), (176, 128), (304, 128), (240, 64)]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_ten_crops_are_of_the_central_square(orientation: str) -> None:
    photo = coordinates(*ORIENTATIONS[orientation])
    resized = shorter_side(photo, 256)
    height, width = resized.shape[:2]
    top, left = (height - 256) // 2, (width - 256) // 2
    square = resized[top : top + 256, left : left + 256]
    boxes = [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]
    expected = []
    for y, x in boxes:
        crop = square[y : y + 224, x : x + 224]
        expected += [crop, crop[:, ::-1]]
    views = [pixels(view) for view in VIEWS[10](Image.fromarray(photo), NEAREST)]
    assert len(views) == 10
    assert all(map(np.array_equal, views, expected))
    closer = replace(NEAREST, resize_size=240)  # which is for the one view
    assert all(map(np.array_equal, map(pixels, VIEWS[10](Image.fromarray(photo), closer)), views))


@pytest.mark.parametrize(
    ("width", "height", "box"),
    [
        (500, 375, (58, 16)),  # resized to 341×256
        (375, 500, (16, 58)),
        (256, 256, (16, 16)),
    ],
)
def test_one_crop_is_the_center(width: int, height: int, box: tuple[int, int]) -> None:
    photo = coordinates(width, height)
    (view,) = VIEWS[1](Image.fromarray(photo), NEAREST)
    left, top = box
    expected = shorter_side(photo, 256)[top : top + 224, left : left + 224]
    assert np.array_equal(pixels(view), expected)


def test_squash_distorts_the_whole_image() -> None:
    photo = coordinates(500, 375)
    p = replace(NEAREST, mode="squash")
    (view,) = VIEWS[1](Image.fromarray(photo), p)
    assert np.array_equal(pixels(view), nearest(photo, 256, 256)[16:240, 16:240])


def test_squashed_ten_crops_reach_the_image_s_edges() -> None:
    photo = coordinates(500, 375)
    views = list(VIEWS[10](Image.fromarray(photo), replace(NEAREST, mode="squash")))
    whole = nearest(photo, 256, 256)
    assert np.array_equal(pixels(views[0]), whole[:224, :224])
    assert np.array_equal(pixels(views[6]), whole[32:, 32:])


@pytest.mark.parametrize(
    ("width", "height", "inner"),
    [(512, 256, (64, 0, 192, 256)), (256, 512, (0, 64, 256, 192)), (300, 299, (0, 0, 255, 256))],
)
def test_letterbox_pads_with_the_mean(
    width: int, height: int, inner: tuple[int, int, int, int]
) -> None:
    """inner: top, left, bottom, right of the image in the padded square of 256."""
    photo = coordinates(width, height)
    p = replace(NEAREST, mode="letterbox", size=256)
    (view,) = VIEWS[1](Image.fromarray(photo), p)
    top, left, bottom, right = inner
    expected = np.full((256, 256, 3), (124, 116, 104), np.uint8)
    expected[top:bottom, left:right] = nearest(photo, right - left, bottom - top)
    assert np.array_equal(pixels(view), expected)


@pytest.mark.parametrize("mode", MODES)
def test_144_views_keep_the_aspect_ratio_in_every_mode(mode: str) -> None:
    photo = noise(90, 60)
    p = Preprocessing(size=32, resize_size=resize_size(32), mode=mode)
    views = [pixels(view) for view in VIEWS[144](photo, p)]
    kept = [pixels(view) for view in VIEWS[144](photo, replace(p, mode="crop"))]
    assert all(map(np.array_equal, views, kept))


@pytest.mark.parametrize(
    ("views", "mirror", "count"),
    [(1, True, 1), (10, True, 10), (144, True, 144), (1, False, 1), (10, False, 5),
     (144, False, 72)],
)  # fmt: skip
def test_counts_with_and_without_mirrors(views: int, mirror: bool, count: int) -> None:
    p = Preprocessing(size=32, resize_size=resize_size(32), hflip=mirror)
    assert len(list(VIEWS[views](noise(60, 40), p))) == count == view_count(views, p)


def test_views_without_mirrors_are_the_others() -> None:
    photo = noise(60, 40)
    p = Preprocessing(size=32, resize_size=resize_size(32))
    both = [pixels(view) for view in VIEWS[144](photo, p)]
    alone = [pixels(view) for view in VIEWS[144](photo, replace(p, hflip=False))]
    assert all(map(np.array_equal, both[::2], alone))
    assert all(np.array_equal(m, c[:, ::-1]) for c, m in zip(both[::2], both[1::2], strict=True))


@settings(deadline=None, max_examples=30)
@given(
    width=st.integers(1, 120),
    height=st.integers(1, 120),
    size=st.integers(1, 40),
    mode=st.sampled_from(MODES),
    views=st.sampled_from(sorted(VIEWS)),
)
def test_every_view_of_every_image_is_a_square_of_the_size(
    width: int, height: int, size: int, mode: str, views: int
) -> None:
    p = Preprocessing(size=size, resize_size=resize_size(size), mode=mode)
    shapes = {view.size for view in VIEWS[views](Image.new("RGB", (width, height)), p)}
    assert shapes == {(size, size)}


@given(
    mode=st.sampled_from(MODES),
    width=st.integers(60, 600),
    height=st.integers(60, 600),
    size=st.sampled_from([32, 64, 112]),
    resize=st.sampled_from([112, 128, 150]),
)
def test_region_tells_where_each_pixel_of_the_center_view_is_from(
    mode: str, width: int, height: int, size: int, resize: int
) -> None:
    p = replace(NEAREST, mode=mode, size=size, resize_size=resize)
    view = pixels(next(VIEWS[1](Image.fromarray(coordinates(width, height)), p))).astype(int)
    left, top, wide, high = center_region((width, height), p)
    steps = (np.arange(size) + 0.5) / size
    xs, ys = width * (left + wide * steps), height * (top + high * steps)
    inside_x, inside_y = (xs > 0) & (xs < width), (ys > 0) & (ys < height)
    if mode != "letterbox":
        assert inside_x.all()
        assert inside_y.all()
    shown = view[inside_y][:, inside_x]
    assert np.abs(shown[..., 0] + shown[..., 2] // 16 * 256 - np.floor(xs[inside_x])).max() <= 1
    found_y = shown[..., 1] + shown[..., 2] % 16 * 256
    assert np.abs(found_y - np.floor(ys[inside_y])[:, None]).max() <= 1
    if mode == "letterbox":  # beyond the image there is nothing but padding
        assert (view[~inside_y] == p.padding_color()).all()
        assert (view[:, ~inside_x] == p.padding_color()).all()
