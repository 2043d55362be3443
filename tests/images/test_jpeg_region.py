"""Parts of JPEGs are Pillow's pixels, bit for bit, however the JPEG is coded."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import PIL
import pytest
import simplejpeg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from googlenet.images import jpeg_region
from tests.conftest import SHARED_DATA
from tests.fixtures import encoded, noise, pixels

PHOTOS = SHARED_DATA / "ilsvrc2012-val-50-original" / "images"
SUBSAMPLINGS = ("444", "422", "420", "440", "411")


@pytest.fixture
def parts(kernels: None) -> None:
    if not jpeg_region.available():
        pytest.skip("Pillow has no libjpeg-turbo of its own beside it")


def test_it_is_there_where_pillow_s_wheels_are(kernels: None) -> None:
    """Or else nobody would notice that it is gone."""
    if "pillow.libs" not in str(sorted(Path(PIL.__file__).parents[1].iterdir())):
        pytest.skip("this Pillow is of no wheel for Linux")
    assert jpeg_region.available()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    width=st.integers(1, 150),
    height=st.integers(1, 150),
    subsampling=st.sampled_from(SUBSAMPLINGS),
    progressive=st.booleans(),
    factor=st.sampled_from([1, 1, 1, 2, 4, 8]),
    data=st.data(),
)
def test_parts_are_of_the_whole(
    parts: None,
    width: int,
    height: int,
    subsampling: str,
    progressive: bool,
    factor: int,
    data: st.DataObject,
) -> None:
    photo = noise(max(1, width // 4), max(1, height // 4), seed=width).resize((width, height))
    if subsampling in SUBSAMPLINGS[:3]:
        kind = SUBSAMPLINGS.index(subsampling)
        jpeg = encoded(photo, "JPEG", subsampling=kind, progressive=progressive)
    else:
        jpeg = simplejpeg.encode_jpeg(pixels(photo), 85, colorsubsampling=subsampling)
    size = (-(-width // factor), -(-height // factor))
    whole = jpeg_region.region(jpeg, factor, size, (0, 0, *size))
    if factor == 1:
        with Image.open(BytesIO(jpeg)) as opened:
            assert np.array_equal(whole, pixels(opened))
    else:
        least = {"min_width": size[0], "min_height": size[1], "min_factor": factor}
        assert np.array_equal(whole, simplejpeg.decode_jpeg(jpeg, "RGB", **least))
    for _ in range(5):
        left, top = (data.draw(st.integers(0, side - 1)) for side in size)
        right, bottom = (
            data.draw(st.integers(left + 1, size[0])),
            data.draw(st.integers(top + 1, size[1])),
        )
        part = jpeg_region.region(jpeg, factor, size, (left, top, right, bottom))
        assert np.array_equal(part, whole[top:bottom, left:right])


def test_parts_of_real_photos(parts: None) -> None:
    if not PHOTOS.is_dir():
        pytest.skip(f"needs {PHOTOS}")
    for path in sorted(PHOTOS.iterdir())[::6]:
        with Image.open(path) as opened:
            whole = pixels(opened)
        size = whole.shape[1::-1]
        for left, top in ((0, 0), (101, 77), (size[0] - 100, size[1] - 90)):
            part = jpeg_region.region(path.read_bytes(), 1, size, (left, top, left + 100, top + 90))
            assert np.array_equal(part, whole[top : top + 90, left : left + 100])


def test_what_is_not_as_told_is_refused(parts: None) -> None:
    jpeg, gray = encoded(noise(40, 30), "JPEG"), encoded(noise(40, 30).convert("L"), "JPEG")
    for content, size, box in (
        (jpeg, (41, 30), (0, 0, 41, 30)),
        (jpeg, (40, 29), (0, 0, 40, 29)),
        (gray, (40, 30), (0, 0, 40, 30)),
        (b"\xff\xd8 no photo", (40, 30), (0, 0, 40, 30)),
        (b"", (40, 30), (0, 0, 40, 30)),
    ):
        with pytest.raises(ValueError, match="damaged or not of that size"):
            jpeg_region.region(content, 1, size, box)


def test_a_library_that_does_not_do_it_is_not_used(
    parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = jpeg_region.pillow_s_library()
    assert ours is not None
    assert jpeg_region.right(ours)
    monkeypatch.setattr(jpeg_region, "decoded", lambda *_: np.zeros((17, 28, 3), np.uint8))
    assert not jpeg_region.right(ours)
    monkeypatch.setattr(jpeg_region, "PLACES", ("nowhere",))
    jpeg_region.pillow_s_library.cache_clear()
    assert not jpeg_region.available()
    jpeg_region.pillow_s_library.cache_clear()


def test_there_is_none_without_kernels(no_kernels: None) -> None:
    jpeg_region.pillow_s_library.cache_clear()
    assert not jpeg_region.available()
    jpeg_region.pillow_s_library.cache_clear()
