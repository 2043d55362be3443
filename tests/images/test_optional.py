"""HEIC and JPEG XL: read where their packages are installed, else a sentence."""

from __future__ import annotations

import random
import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from googlenet.data.account import Account
from googlenet.data.folder import is_image
from googlenet.images import optional
from googlenet.images.decode import ImageError, decode, read_header
from googlenet.images.jxl_header import read_jxl_header

SIDEWAYS = 6  # EXIF: the first row is the right side


def corners(image: Image.Image) -> list[int]:
    """The four corners, 0 where black."""
    pixels = np.asarray(image.convert("L"))
    places = ((3, 3), (3, -3), (-3, 3), (-3, -3))
    return [100 * round(int(pixels[at]) / 100) for at in places]


def marked() -> Image.Image:
    """80x60, the upper left corner white, all else black."""
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[:20, :20] = 200
    return Image.fromarray(pixels)


def coded(kind: str, image: Image.Image | None = None, orientation: int = SIDEWAYS) -> bytes:
    exif = Image.Exif()
    exif[0x112] = orientation
    package = import_module(optional.OPTIONAL_FORMATS[kind][0])
    if kind == "HEIF":
        package.register_heif_opener()
    stream = BytesIO()
    (image or marked()).save(stream, kind, exif=exif.tobytes())
    return stream.getvalue()


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    optional.readable_extensions.cache_clear()
    monkeypatch.setattr(optional, "is_installed", lambda kind: False)
    yield
    optional.readable_extensions.cache_clear()


@pytest.mark.parametrize("kind", ["HEIF", "JXL"])
def test_orientation_is_applied_once(kind: str) -> None:
    pytest.importorskip(optional.OPTIONAL_FORMATS[kind][0])
    image = decode(coded(kind))
    assert image.size == (60, 80)
    assert corners(image) == [0, 200, 0, 0]
    assert read_header(coded(kind)).format == kind


def test_jpeg_inside_of_jpeg_xl(tmp_path: Path) -> None:
    """The codestream turns such an image and so does its EXIF: it is turned once."""
    pytest.importorskip("pillow_jxl")
    exif = Image.Exif()
    exif[0x112] = SIDEWAYS
    marked().save(tmp_path / "a.jpg", exif=exif.tobytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.open(tmp_path / "a.jpg").save(tmp_path / "a.jxl")
    header = read_jxl_header((tmp_path / "a.jxl").read_bytes())
    assert header == (80, 60, SIDEWAYS)
    assert corners(decode(tmp_path / "a.jxl")) == [0, 200, 0, 0]


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (256, 256), (640, 480), (1000, 700)])
def test_size_of_jpeg_xl_is_known_before_its_pixels(size: tuple[int, int]) -> None:
    pytest.importorskip("pillow_jxl")
    assert read_jxl_header(coded("JXL", Image.new("RGB", size)))[:2] == size


@pytest.mark.parametrize("kind", ["HEIF", "JXL"])
def test_bounds_hold(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(optional.OPTIONAL_FORMATS[kind][0])
    content = coded(kind, orientation=1)
    monkeypatch.setenv("GOOGLENET_MAX_PIXELS", str(80 * 60 - 1))
    with pytest.raises(ImageError, match="an image may have 4799 pixels, this declares 80×60"):
        decode(content)


def test_ten_bits_keep_their_upper_eight() -> None:
    heif = pytest.importorskip("pillow_heif")
    levels = np.linspace(0, 1023, 8).astype(np.uint16).repeat(8)
    samples = np.broadcast_to(levels[None, :, None] << 6, (64, 64, 3))
    stream = BytesIO()
    heif.from_bytes("RGB;16", (64, 64), samples.tobytes()).save(stream, quality=-1)
    found = np.asarray(decode(stream.getvalue())).astype(int)
    assert np.abs(found - (samples >> 8)).max() <= 2


@pytest.mark.parametrize("kind", ["HEIF", "JXL"])
def test_damage_is_a_sentence(kind: str) -> None:
    pytest.importorskip(optional.OPTIONAL_FORMATS[kind][0])
    content, rng = coded(kind), random.Random(0)
    refusals = []
    for i in range(60):
        damaged = bytearray(content)
        if i % 2:
            del damaged[rng.randrange(len(damaged)) :]
        else:
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        try:
            decode(bytes(damaged))
        except ImageError as error:
            refusals.append(str(error))
    assert len(refusals) >= 30  # whatever is cut short
    assert all(map(str.isprintable, refusals))


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF"),
        (b"\xff\x0a" + bytes(30), "JXL"),
    ],
)
def test_missing_package_is_named(start: bytes, kind: str) -> None:
    with pytest.raises(ImageError, match=rf"{kind} needs pip install 'googlenet\[formats\]'"):
        decode(start)


@pytest.mark.usefixtures("nothing_installed")
def test_account_of_files_that_need_a_package() -> None:
    assert not is_image("a.HEIC")
    (line,) = Account(unread=((".heic", 70), (".txt", 2))).lines()
    assert line == ("not read: 70 .heic, 2 .txt; to read .heic: pip install 'googlenet[formats]'")


def test_avif_of_a_general_brand_is_not_taken_for_heic() -> None:
    brands = b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif"
    assert optional.optional_format(brands) is None


def test_nothing_is_imported_before_such_a_file_is_met() -> None:
    code = (
        "import sys; from googlenet.data.folder import is_image; is_image('a.heic'); "
        "from googlenet.images.decode import decode; "
        "assert not {'pillow_heif', 'pillow_jxl'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
