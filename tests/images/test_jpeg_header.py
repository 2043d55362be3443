"""Headers that are read without Pillow say what Pillow says; all others are left to it."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms

from googlenet.images.decode import EXIF_TRANSPOSE, open_image
from googlenet.images.jpeg_header import BaselineHeader, parse_baseline_jpeg
from tests.fixtures import encoded, noise


def jpeg(**options: object) -> bytes:
    return encoded(noise(61, 43), "JPEG", **options)


def with_segment(marker: int, content: bytes) -> bytes:
    """A plain JPEG with a segment after its first marker."""
    plain = jpeg()
    return plain[:2] + struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content + plain[2:]


def profile(kind: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(kind)).tobytes()  # type: ignore[arg-type]


def exif(
    *entries: tuple[int, int, int, int], order: str = "<", directory: int = 8, more: int = 0
) -> bytes:
    """EXIF of entries (tag, type, count, value)."""
    start = b"II*\0" if order == "<" else b"MM\0*"
    packed = b"".join(struct.pack(f"{order}HHIHH", *entry, 0) for entry in entries)
    header = start + struct.pack(f"{order}I", directory)
    return b"Exif\0\0" + header + struct.pack(f"{order}H", len(entries) + more) + packed + bytes(4)


WIDTH, TURNED = (0x0100, 3, 1, 61), (0x0112, 3, 1, 6)
PLAIN: dict[str, Callable[[], bytes]] = {
    "plain": jpeg,
    "full color": lambda: jpeg(subsampling=0),
    "restarts": lambda: jpeg(restart_marker_rows=1),
    "comment": lambda: jpeg(comment="a comment"),
    "rgb": lambda: jpeg(keep_rgb=True),
    "sRGB": lambda: jpeg(icc_profile=profile("sRGB")),
    "profile of another kind": lambda: jpeg(icc_profile=profile("LAB")),
    "Photoshop": lambda: with_segment(0xED, b"Photoshop 3.0\0"),
    "XMP": lambda: with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"),
    "EXIF": lambda: with_segment(0xE1, exif(WIDTH, TURNED)),
    "EXIF of many bytes first": lambda: with_segment(0xE1, exif(WIDTH, TURNED, order=">")),
    "EXIF without": lambda: with_segment(0xE1, exif(WIDTH)),
    "orientation of nothing": lambda: with_segment(0xE1, exif((0x0112, 3, 1, 9))),
}
ODD: dict[str, Callable[[], bytes]] = {
    "progressive": lambda: jpeg(progressive=True),
    "gray": lambda: encoded(noise(61, 43).convert("L"), "JPEG"),
    "cmyk": lambda: encoded(noise(61, 43).convert("CMYK"), "JPEG"),
    "half a profile": lambda: with_segment(0xE2, b"ICC_PROFILE\0\1\2" + profile("sRGB")[:99]),
    "several photos": lambda: with_segment(0xE2, b"MPF\0"),
    "XMP with an orientation": lambda: with_segment(0xE1, b'http\0tiff:Orientation="6"'),
    "orientation of another type": lambda: with_segment(0xE1, exif((0x0112, 4, 1, 6))),
    "two orientations": lambda: with_segment(0xE1, exif(TURNED, TURNED)),
    "entries that are not there": lambda: with_segment(0xE1, exif(TURNED, more=3)),
    "directory that is not there": lambda: with_segment(0xE1, exif(TURNED, directory=999)),
    "EXIF that is none": lambda: with_segment(0xE1, b"Exif\0\0what"),
    "two sizes": lambda: with_segment(0xC0, b"\x08\0\x2b\0\x3d\3" + bytes(9)),
    "nothing but the beginning": lambda: jpeg()[:50],
    "nothing": lambda: b"\xff\xd8\xff",
}


@pytest.mark.parametrize("kind", PLAIN)
def test_plain_headers_say_what_pillow_says(kind: str) -> None:
    data = PLAIN[kind]()
    with open_image(data) as opened:
        turn = EXIF_TRANSPOSE.get(opened.getexif().get(ExifTags.Base.Orientation) or 1)
        assert parse_baseline_jpeg(data) == BaselineHeader(*opened.size, turn)
    assert (turn is not None) == kind.startswith("EXIF") - (kind == "EXIF without")


@pytest.mark.parametrize("kind", ODD)
def test_other_headers_are_left_to_pillow(kind: str) -> None:
    assert parse_baseline_jpeg(ODD[kind]()) is None


@pytest.mark.parametrize("orientation", range(10))
def test_orientations_are_those_of_pillow(orientation: int) -> None:
    notes = Image.Exif()
    notes[0x0112] = orientation
    assert parse_baseline_jpeg(jpeg(exif=notes)) == BaselineHeader(
        61, 43, EXIF_TRANSPOSE.get(orientation)
    )


@given(content=st.binary(max_size=80), marker=st.sampled_from([0xE1, 0xE2, 0xC0, 0xDA, 0xED]))
def test_no_bytes_raise(content: bytes, marker: int) -> None:
    starts = {0xE1: b"Exif\0\0II*\0", 0xE2: b"ICC_PROFILE\0\1\1"}
    found = parse_baseline_jpeg(with_segment(marker, starts.get(marker, b"") + content))
    assert found is None or (found.width, found.height) == (61, 43) or marker == 0xC0
