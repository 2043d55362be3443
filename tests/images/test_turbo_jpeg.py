"""JPEGs by libjpeg-turbo: Pillow's pixels, `decode`'s policy."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFilter

from googlenet.images import turbo_jpeg
from googlenet.images.archived import ArchivedImage, LocalShard
from googlenet.images.decode import ImageError, decode
from googlenet.images.turbo_jpeg import decode_content, decode_turbo
from googlenet.runtime.errors import GoogLeNetError
from tests.conftest import SHARED_DATA
from tests.fixtures import encoded, noise, pixels

PHOTOS = SHARED_DATA / "ilsvrc2012-val-50-original" / "images"


def smooth(width: int, height: int, seed: int = 0) -> Image.Image:
    """Something like an image: noise of large grains."""
    grains = noise(max(2, width // 16), max(2, height // 16), seed)
    return grains.resize((width, height), Image.Resampling.BICUBIC)


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(smooth(50, 34), "JPEG", exif=exif)


def profiled() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    return encoded(smooth(50, 34), "JPEG", icc_profile=profile.tobytes())


JPEGS: dict[str, Callable[[], bytes]] = {
    "plain": lambda: encoded(smooth(61, 43), "JPEG"),
    "full color": lambda: encoded(smooth(61, 43), "JPEG", subsampling=0, quality=98),
    "half color": lambda: encoded(smooth(61, 43), "JPEG", subsampling=1),
    "restarts": lambda: encoded(smooth(61, 43), "JPEG", restart_marker_rows=1),
    "comment": lambda: encoded(smooth(61, 43), "JPEG", comment="a comment"),
    "progressive": lambda: encoded(smooth(61, 43), "JPEG", progressive=True),
    "gray": lambda: encoded(smooth(61, 43).convert("L"), "JPEG"),
    "cmyk": lambda: encoded(smooth(61, 43).convert("CMYK"), "JPEG"),
    "rgb": lambda: encoded(smooth(61, 43), "JPEG", keep_rgb=True),
    "profile of another kind": profiled,
    **{f"orientation {n}": (lambda n=n: turned(n)) for n in range(10)},  # type: ignore[misc]
}


@pytest.mark.parametrize("kind", JPEGS)
def test_pixels_are_those_of_pillow_to_within_a_level(kind: str) -> None:
    data = JPEGS[kind]()
    ours, theirs = pixels(decode_turbo(data)), pixels(decode(data))
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_damage_is_found_wherever_it_is() -> None:
    """What Pillow refuses is refused, what it makes the best of has its pixels."""
    whole = encoded(smooth(90, 200), "JPEG", restart_marker_rows=1)
    lost = whole.index(b"\xff\xd5")  # a marker between rows
    for data in (whole[:-40], whole[: lost + 1] + b"\xd2" + whole[lost + 2 :], whole[:-2]):
        assert decode_content(data, lambda width, height: 1) is None
        outcomes = []
        for reader in (decode, decode_turbo):
            try:
                outcomes.append(pixels(reader(data)).tobytes())
            except ImageError as error:
                outcomes.append(str(error).encode())
        assert outcomes[0] == outcomes[1]


def test_real_images_are_those_of_pillow() -> None:
    if not PHOTOS.is_dir():
        pytest.skip(f"needs {PHOTOS}")
    for path in sorted(PHOTOS.iterdir())[::5]:
        ours = decode_turbo(path)
        assert isinstance(ours, np.ndarray)
        assert np.abs(ours.astype(int) - pixels(decode(path))).max() <= 1


def test_other_sources_are_decoded_as_ever(tmp_path: Path) -> None:
    png = encoded(noise(20, 10))
    (tmp_path / "a.png").write_bytes(png)
    stored = ArchivedImage(LocalShard(tmp_path / "a.png"), 0, len(png), "a.png")
    for source in (png, tmp_path / "a.png", stored, pixels(noise(20, 10)), noise(20, 10)):
        photo = decode_turbo(source)
        assert isinstance(photo, Image.Image)
        assert (pixels(photo) == pixels(noise(20, 10))).all()


def broken(kind: str) -> bytes:
    whole = JPEGS["plain"]()
    if kind == "short":
        return whole[: len(whole) // 2]
    if kind == "long":
        return encoded(Image.new("RGB", (1, 101)), "JPEG")
    return whole[:2]


@pytest.mark.parametrize("kind", ["short", "long", "header"])
def test_what_is_refused_is_refused_in_the_same_words(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(broken(kind))
    said = []
    for reader in (decode, decode_turbo):
        with pytest.raises(ImageError) as raised:
            reader(path)
        said.append(str(raised.value))
    assert said[0] == said[1]
    assert said[0].startswith(str(path))


@pytest.mark.parametrize("name", ["none.jpg", "."])
def test_no_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"cannot be read as an image"):
        decode_turbo(tmp_path / name)


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
@pytest.mark.parametrize("size", [(96, 64), (97, 65)])
def test_decoding_at_a_part_of_the_size_is_shrinking(factor: int, size: tuple[int, int]) -> None:
    """By the mean of each square of pixels, to within a few levels of this smooth image."""
    photo = smooth(*size).filter(ImageFilter.GaussianBlur(4))
    data = encoded(photo, "JPEG", quality=98, subsampling=0)
    asked = []

    def dct_scale(width: int, height: int) -> int:
        asked.append((width, height))
        return factor

    ours = decode_turbo(data, dct_scale)
    assert asked == [size]
    assert isinstance(ours, np.ndarray)
    assert ours.shape == (-(-size[1] // factor), -(-size[0] // factor), 3)
    means = decode(data).reduce(factor)
    assert np.abs(ours.astype(int) - pixels(means)).max() <= 4


def test_turned_image_is_shrunk_too() -> None:
    found = decode_turbo(turned(6), lambda width, height: 2)
    assert isinstance(found, np.ndarray)
    assert found.shape == (25, 17, 3)


def test_missing_package_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    turbo_jpeg.require()
    monkeypatch.setattr(turbo_jpeg, "find_spec", lambda name: None)
    with pytest.raises(GoogLeNetError, match=r"pip install 'googlenet\[fast\]'"):
        turbo_jpeg.require()


def test_file_s_own_bytes_are_enough() -> None:
    """An image in memory needs no file: what comes over a network is decoded as it is."""
    data = JPEGS["plain"]()
    with Image.open(BytesIO(data)) as image:
        assert (pixels(decode_turbo(data)) == pixels(image.convert("RGB"))).mean() > 0.99


def test_what_decode_refuses_for_its_bytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """More marks of scans than an image may have, wherever they are; more bytes than a file may."""
    many = encoded(smooth(50, 34), "JPEG", comment=b"\xff\xda" * 101)
    plain = encoded(smooth(50, 34), "JPEG")
    monkeypatch.setattr("googlenet.images.decode.MAX_BYTES", len(many))
    monkeypatch.setattr("googlenet.images.turbo_jpeg.MAX_BYTES", len(many))
    for content in (many, plain + bytes(len(many))):
        with pytest.raises(ImageError) as theirs:
            decode(content)
        with pytest.raises(ImageError) as ours:
            decode_turbo(content)
        assert str(ours.value) == str(theirs.value)
