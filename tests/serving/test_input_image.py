"""From bytes to what the network sees: as the classifier does, and not for hostile files."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from googlenet.images.decode import MAX_SCANS, decode
from googlenet.images.preprocess import MODES, Preprocessing
from googlenet.images.views import VIEWS
from googlenet.serving.http_error import HTTPError
from googlenet.serving.input_image import read_image_bytes
from tests.dirty_photos import many_empty_scans, many_scans
from tests.fixtures import encoded, noise
from tests.memory import forget_peak, peak_memory

SMALL = Preprocessing(size=32, resize_size=37)


def refused(data: bytes, max_pixels: int = 10**6) -> HTTPError:
    with pytest.raises(HTTPError) as caught:
        read_image_bytes(data, SMALL, max_pixels)
    return caught.value


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_crop_is_the_classifiers(mode: str, order: str) -> None:
    p = replace(SMALL, mode=mode, channel_order=order)
    photo = encoded(noise(70, 50, 3), "PNG")
    crop = read_image_bytes(photo, p, 10**6)
    assert (crop.width, crop.height) == (70, 50)
    np.testing.assert_array_equal(crop.pixels, p.pixels(next(VIEWS[1](decode(photo), p))))
    assert crop.pixels.flags.c_contiguous


def png_of(width: int, height: int) -> bytes:
    """A PNG that declares a size and has next to nothing in it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body)


@pytest.mark.parametrize(("width", "height"), [(1001, 1000), (2**31 - 1, 1), (60_000, 60_000)])
def test_pixels_that_are_only_declared(width: int, height: int) -> None:
    before = forget_peak()
    error = refused(png_of(width, height))
    assert error.status == 413
    assert error.message.startswith("an image may have 1000000 pixels, this has ")
    assert peak_memory() - before < 20


@pytest.mark.parametrize("jpeg", [many_scans, many_empty_scans])
def test_jpeg_of_endless_scans(jpeg: Callable[[int], bytes]) -> None:
    """A few bytes repeated make the decoder go over the whole image once more each."""
    assert read_image_bytes(jpeg(MAX_SCANS), SMALL, 10**6).width == 48
    error = refused(jpeg(MAX_SCANS + 1))
    assert (error.status, error.message) == (422, "a JPEG may have 100 scans, this has 101")


def test_types_that_start_programs_are_not_opened() -> None:
    for kind in ("EPS", "PDF"):
        error = refused(encoded(noise(40, 40), kind))
        assert (error.status, error.message) == (415, "this is not an image of a known format")


def test_first_frame_of_an_animation() -> None:
    frames = [noise(40, 40, seed) for seed in range(3)]
    gif = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    first = read_image_bytes(encoded(frames[0], "GIF"), SMALL, 10**6)
    np.testing.assert_array_equal(read_image_bytes(gif, SMALL, 10**6).pixels, first.pixels)


WHOLE = {
    kind: encoded(noise(60, 40), kind)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
}


@given(kind=st.sampled_from(sorted(WHOLE)), data=st.data())
def test_damage_is_a_refusal_or_an_image(kind: str, data: st.DataObject) -> None:
    """Whatever is cut off or changed: one sentence without anything of this machine, or a crop."""
    photo = bytearray(WHOLE[kind][: data.draw(st.integers(0, len(WHOLE[kind])))])
    for at in data.draw(st.lists(st.integers(0, max(0, len(photo) - 1)), max_size=8)):
        if photo:
            photo[at] = data.draw(st.integers(0, 255))
    refusal = None
    try:
        assert read_image_bytes(bytes(photo), SMALL, 10**6).pixels.shape == (32, 32, 3)
    except HTTPError as error:
        refusal = error
    if refusal is not None:
        assert refusal.status in (413, 415, 422)
        assert "0x" not in refusal.message
        assert "/" not in refusal.message
        assert len(refusal.message) < 120


def test_grayscale_model() -> None:
    p = replace(SMALL, channel_order="L", mean=(117.0,), scale=(1.0,))
    assert read_image_bytes(encoded(Image.new("L", (50, 50), 9)), p, 10**6).pixels.shape == (
        32,
        32,
        1,
    )
