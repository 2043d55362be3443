"""Images of more pixels than the limit: JPEGs of one scan are halved, others are refused."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from googlenet.images.decode import ImageError, count_scans, decode
from googlenet.images.turbo_jpeg import available, decode_turbo
from tests.dirty_photos import png

LIMIT = 3_000  # pixels, in place of 89 million


def encoded(width: int, height: int, **options: object) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    stream = BytesIO()
    image = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
    image.save(stream, "JPEG", quality=95, **options)
    return stream.getvalue()


@pytest.fixture(autouse=True)
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLENET_MAX_PIXELS", str(LIMIT))


def with_thumbnail(content: bytes) -> bytes:
    """The JPEG with EXIF that turns it by 90° and holds a small JPEG, which has a scan as well."""
    exif = Image.Exif()
    exif[0x0112] = 6
    segment = exif.tobytes() + encoded(16, 16)
    return content[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2) + segment + content[2:]


def test_a_jpeg_of_one_scan_is_halved() -> None:
    content = encoded(101, 81)
    image = decode(content)
    assert image.size == (51, 41)
    with Image.open(BytesIO(content)) as opened:
        reference = opened.resize((51, 41), Image.Resampling.BOX)
    difference = np.asarray(image, np.int16) - np.asarray(reference, np.int16)
    assert np.abs(difference).mean() < 3


@pytest.mark.skipif(not available(), reason="simplejpeg is missing")
def test_every_reader_has_the_same_pixels() -> None:
    content = encoded(101, 81)
    assert np.array_equal(np.asarray(decode_turbo(content)), np.asarray(decode(content)))
    assert np.array_equal(
        np.asarray(decode_turbo(content, lambda width, height: 2)), np.asarray(decode(content))
    )


def test_of_several_images_in_a_jpeg_the_first_is_halved() -> None:
    stream = BytesIO()
    first, second = (Image.new("RGB", (101, 81), color) for color in ("red", "blue"))
    first.save(stream, "MPO", save_all=True, append_images=[second])
    image = decode(stream.getvalue())
    assert image.size == (51, 41)
    assert np.abs(np.asarray(image, np.int16) - (255, 0, 0)).max() < 5


def test_a_camera_s_header_changes_nothing() -> None:
    content = with_thumbnail(encoded(100, 80))
    assert count_scans(content) == 2
    assert decode(content).size == (40, 50)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_below_the_limit_the_bits_are_pillow_s(options: dict[str, object]) -> None:
    content = encoded(60, 50, **options)
    with Image.open(BytesIO(content)) as opened:
        assert np.array_equal(np.asarray(decode(content)), np.asarray(opened))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (encoded(100, 80, progressive=True), r"a progressive JPEG may have 3000 pixels.*100×80"),
        (encoded(300, 300), r"more than 3000 pixels; GOOGLENET_MAX_PIXELS raises that"),
        (
            png(60, 60, 8, 2, b""),
            r"an image may have 3000 pixels.*60×60; GOOGLENET_MAX_PIXELS",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_the_variable(content: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        decode(content)


def test_the_limit_can_be_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(300, 300, progressive=True)
    monkeypatch.setenv("GOOGLENET_MAX_PIXELS", "90000")
    assert decode(content).size == (300, 300)


@pytest.mark.parametrize("value", ["", "0", "-1", "1e9", "many"])
def test_what_is_no_limit_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("GOOGLENET_MAX_PIXELS", value)
    with pytest.raises(ImageError, match="GOOGLENET_MAX_PIXELS must be a positive whole number"):
        decode(encoded(10, 10))


def test_pillow_s_own_limit_is_left_alone() -> None:
    before = Image.MAX_IMAGE_PIXELS
    decode(encoded(101, 81))
    assert before == Image.MAX_IMAGE_PIXELS
