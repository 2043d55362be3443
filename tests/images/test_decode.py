"""The decoder's policy, one test for each kind of image that people have."""

from __future__ import annotations

import struct
import warnings
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps, features

from googlenet.images.decode import (
    FORMATS,
    MAX_ASPECT,
    MAX_BYTES,
    MAX_SCANS,
    PILLOW_EXTENSIONS,
    PILLOW_FORMATS,
    ImageError,
    Source,
    count_scans,
    decode,
    read_header,
)
from googlenet.images.pixel_limit import MAX_PIXELS
from googlenet.runtime.errors import printable
from tests.dirty_photos import (
    broken,
    grey_profile,
    many_empty_scans,
    many_scans,
    png,
    png_chunk,
    turned_profile,
    usable,
    write_specials,
    ycck,
)
from tests.fixtures import encoded, noise, pixels
from tests.unprivileged import unprivileged

RAMP = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3  # (4, 6, 3): every pixel differs

# What a camera stores for each orientation, from the upright image (EXIF 2.32, table 4.6.4 A:
# which sides of the scene the stored rows and columns begin at).
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}


LOSSLESS: dict[str, dict[str, Any]] = {
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](RAMP)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, kind, exif=exif, **LOSSLESS.get(kind, {}))
    assert np.array_equal(pixels(decode(data)), RAMP)


@pytest.mark.parametrize("kind", ["JPEG", "AVIF"])
@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_of_formats_that_lose_a_little(orientation: int, kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16], upright[:8, 16:], upright[8:, :16] = (
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
    )
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    decoded = pixels(decode(encoded(stored, kind, exif=exif, quality=100, subsampling="4:4:4")))
    assert decoded.shape == upright.shape
    assert np.abs(decoded.astype(int) - upright).mean() < 5


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientation_that_there_is_not_turns_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(pixels(decode(encoded(Image.fromarray(RAMP), exif=exif))), RAMP)


def test_exif_orientation_of_a_jpeg_and_of_an_image_in_memory() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(noise(24, 16), "JPEG", exif=exif)
    turned = np.rot90(pixels(Image.open(BytesIO(data))), -1)
    assert np.array_equal(pixels(decode(data)), turned)
    assert np.array_equal(pixels(decode(Image.open(BytesIO(data)))), turned)


def test_damaged_exif_does_not_cost_the_image() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    exif[0x0112] = 3
    sound = exif.tobytes()
    as_stored = pixels(Image.open(BytesIO(encoded(noise(24, 16), "JPEG"))))
    for damaged in (b"Exif\0\0no TIFF header", sound[:20], sound.replace(b"\x01\x0e", b"\0\x0e")):
        data = encoded(noise(24, 16), "JPEG", exif=damaged)
        decoded = pixels(decode(data))
        assert np.array_equal(decoded, as_stored) or np.array_equal(decoded, STORED[3](as_stored))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "GIF", "BMP"])
def test_grayscale_becomes_three_equal_channels(kind: str) -> None:
    gray = noise(7, 5, mode="L")
    assert np.array_equal(pixels(decode(encoded(gray, kind))), np.stack([pixels(gray)] * 3, 2))


def test_one_bit_becomes_black_and_white() -> None:
    bits = np.array([[True, False, True], [False, False, True]])
    image = Image.fromarray(bits.astype(np.uint8) * 255).convert("1")
    assert np.array_equal(pixels(decode(encoded(image)))[:, :, 1], bits * 255)


def test_palette_becomes_its_colors() -> None:
    colors = [(250, 10, 20), (0, 120, 240), (9, 8, 7)]
    indices = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    image = Image.fromarray(indices).convert("P")
    image.putpalette([value for color in colors for value in color])
    expected = np.array(colors, np.uint8)[indices]
    assert np.array_equal(pixels(decode(encoded(image))), expected)


def test_transparent_palette_color_becomes_white() -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    image.putpalette([255, 0, 0, 0, 0, 255])
    for kind in ("PNG", "GIF"):
        decoded = pixels(decode(encoded(image, kind, transparency=0)))
        assert decoded.tolist() == [[[255, 255, 255], [0, 0, 255]]]


def test_transparency_is_laid_over_white() -> None:
    """The "over" operator of Porter and Duff 1984, with a white background."""
    rgba = noise(16, 9, mode="RGBA")
    values = pixels(rgba).astype(float)
    alpha = values[:, :, 3:] / 255
    expected = values[:, :, :3] * alpha + 255 * (1 - alpha)
    decoded = pixels(decode(encoded(rgba))).astype(float)
    assert np.abs(decoded - expected).max() <= 1


def test_gray_with_alpha_is_laid_over_white() -> None:
    image = Image.merge("LA", (Image.new("L", (2, 1), 10), Image.new("L", (2, 1), 0)))
    image.putpixel((1, 0), (10, 255))
    assert pixels(decode(encoded(image))).tolist() == [[[255] * 3, [10] * 3]]


def test_transparent_color_of_an_rgb_png_becomes_white() -> None:
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    image.putpixel((0, 0), (9, 9, 9))
    decoded = decode(encoded(image, transparency=(9, 9, 9)))
    assert pixels(decoded).tolist() == [[[255, 255, 255], [1, 2, 3]]]


@pytest.mark.parametrize(
    ("cmyk", "rgb"),
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((0, 0, 0, 255), (0, 0, 0)),
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 255, 0, 0), (255, 0, 255)),
        ((0, 0, 255, 0), (255, 255, 0)),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(kind: str, cmyk: tuple[int, ...], rgb: tuple[int, ...]) -> None:
    decoded = pixels(decode(encoded(Image.new("CMYK", (8, 8), cmyk), kind)))
    assert np.abs(decoded.astype(int) - rgb).max() <= 2


@pytest.mark.parametrize(
    "cmyk", [(0, 0, 0, 0), (0, 0, 0, 255), (255, 0, 0, 0), (10, 200, 90, 0), (60, 20, 160, 80)]
)
def test_ycck_as_imageshop_writes_it(cmyk: tuple[int, int, int, int]) -> None:
    """Inks C, M, Y and K over white leave (255 − C)(255 − K) / 255 of red, and so on."""
    decoded = pixels(decode(ycck(Image.new("CMYK", (16, 16), cmyk))))
    *inks, black = cmyk
    expected = [(255 - ink) * (255 - black) / 255 for ink in inks]
    assert np.abs(decoded.astype(float) - expected).max() <= 4


def test_cmyk_jpeg_without_adobe_s_marker_is_inverted_too() -> None:
    data = encoded(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG")
    at = data.index(b"\xff\xee")
    length = struct.unpack_from(">H", data, at + 2)[0]
    decoded = pixels(decode(data[:at] + data[at + 2 + length :])).astype(int)
    assert np.abs(decoded - (0, 255, 255)).max() <= 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_colors_of_a_profile_become_srgb(kind: str) -> None:
    """The profile is sRGB with its primaries in turn: its red is green, its green is blue."""
    options = LOSSLESS | {"JPEG": {"quality": 100, "subsampling": 0}}
    data = encoded(noise(24, 16), kind, icc_profile=turned_profile(), **options.get(kind, {}))
    with Image.open(BytesIO(data)) as opened:
        red, green, blue = opened.convert("RGB").split()
    expected = np.dstack([np.asarray(band, int) for band in (blue, red, green)])
    assert np.abs(pixels(decode(data)) - expected).max() <= 2
    assert np.abs(pixels(decode(Image.open(BytesIO(data)))) - expected).max() <= 2
    assert "icc_profile" not in decode(data).info


def test_profile_of_an_image_with_transparency() -> None:
    image = Image.new("RGBA", (2, 1), (250, 0, 0, 255))
    image.putpixel((1, 0), (250, 0, 0, 0))
    first, second = pixels(decode(encoded(image, icc_profile=turned_profile())))[0].astype(int)
    assert np.abs(first - (0, 250, 0)).max() <= 2
    assert second.tolist() == [255, 255, 255]


def test_profile_of_a_palette() -> None:
    image = Image.new("RGB", (2, 2), (250, 0, 0)).quantize(4)
    decoded = pixels(decode(encoded(image, icc_profile=turned_profile()))).astype(int)
    assert np.abs(decoded - (0, 250, 0)).max() <= 2


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_gray_profile(mode: str) -> None:
    """Light, the value to the power of 1.8, becomes sRGB by the curve of IEC 61966-2-1."""
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(levels)
    if mode == "I;16":
        image = Image.fromarray(levels.astype(np.uint16) * 257)
    if mode == "LA":
        image.putalpha(255)
    decoded = pixels(decode(encoded(image, icc_profile=grey_profile())))
    light = (levels / 255) ** 1.8
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert (decoded == decoded[:, :, :1]).all()
    assert np.abs(decoded[:, :, 0] - 255 * expected).max() <= 2


@pytest.mark.parametrize(
    "profile", [b"", b"no profile", turned_profile()[:200], bytes(3000)], ids=range(4)
)
def test_damaged_profile_does_not_cost_the_image(profile: bytes) -> None:
    data = encoded(noise(24, 16), icc_profile=profile)
    assert np.array_equal(pixels(decode(data)), pixels(noise(24, 16)))


@pytest.mark.parametrize(
    ("mode", "profile"),
    [("L", turned_profile()), ("CMYK", turned_profile()), ("RGB", grey_profile())],
    ids=["L", "CMYK", "RGB"],
)
def test_profile_of_another_kind_of_image_is_ignored(mode: str, profile: bytes) -> None:
    """Editors leave the profile of the colors in an image that became gray."""
    image = noise(24, 16, mode=mode)
    with_profile = decode(encoded(image, "TIFF", icc_profile=profile))
    assert np.array_equal(pixels(with_profile), pixels(decode(encoded(image, "TIFF"))))


def test_srgb_profile_changes_no_pixel() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(noise(24, 16), icc_profile=profile)
    assert np.array_equal(pixels(decode(data)), pixels(noise(24, 16)))


def test_profiles_of_real_images(shared_data: Path) -> None:
    """Six of fifty of ImageNet's originals are not sRGB (docs/image_decoding.md); others stay."""
    moved = []
    for path in sorted((shared_data / "ilsvrc2012-val-50-original" / "images").iterdir()):
        with Image.open(path) as opened:
            plain = pixels(opened.convert("RGB")).astype(int)
        moved.append(float(np.abs(pixels(decode(path)) - plain).mean()))
    assert len(moved) == 50
    assert sum(value > 0 for value in moved) == 6
    assert 1.4 < min(value for value in moved if value) < max(moved) < 15.5


def test_threads_share_a_profile() -> None:
    photos = [encoded(noise(64, 48, n), icc_profile=turned_profile()) for n in range(40)]
    alone = [pixels(decode(photo)) for photo in photos]
    with ThreadPoolExecutor(8) as pool:
        assert all(map(np.array_equal, pool.map(lambda p: pixels(decode(p)), photos), alone))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_keep_the_upper_eight(kind: str) -> None:
    samples = np.array([[0, 255, 256, 0x1234], [0x7FFF, 0x8000, 0xFF00, 0xFFFF]], np.uint16)
    decoded = pixels(decode(encoded(Image.fromarray(samples), kind)))
    assert np.array_equal(decoded, np.stack([samples >> 8] * 3, 2))


def test_big_endian_sixteen_bit_tiff() -> None:
    samples = np.array([[0x1234, 0xFF00]], np.uint16)
    big = Image.frombytes("I;16B", (2, 1), samples.astype(">u2").tobytes())
    assert pixels(decode(encoded(big, "TIFF")))[0, :, 0].tolist() == [0x12, 0xFF]


def test_sixteen_bit_rgb_png() -> None:
    data = png(1, 1, 16, 2, b"\0" + struct.pack(">HHH", 0x1234, 0x80FF, 0xFFFF))
    assert pixels(decode(data)).tolist() == [[[0x12, 0x80, 0xFF]]]


def test_sixteen_bit_gray_png_with_a_transparent_value() -> None:
    transparent = png_chunk(b"tRNS", struct.pack(">H", 0x1234))
    data = png(2, 1, 16, 0, b"\0" + struct.pack(">HH", 0x1234, 0x5678), transparent)
    assert pixels(decode(data))[0, :, 0].tolist() == [255, 0x56]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.array([[0, 70000]], np.int32), "32-bit images are not supported"),
        (np.array([[-5, 5]], np.int32), "32-bit images are not supported"),
        (np.array([[0.0, 0.5]], np.float32), "floating-point images are not supported"),
    ],
)
def test_wider_samples_are_refused(
    tmp_path: Path, values: np.ndarray[tuple[int, int], np.dtype[np.generic]], reason: str
) -> None:
    path = tmp_path / "wide.tif"
    Image.fromarray(values).save(path)
    with pytest.raises(ImageError, match=f"wide.tif: {reason}"):
        decode(path)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame_of_an_animation(kind: str) -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "lime", "blue")]
    options = {} if kind == "TIFF" else {"duration": 10}
    options |= {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert np.array_equal(pixels(decode(data)), pixels(frames[0]))


def test_bytes_paths_arrays_and_images_give_the_same_pixels(tmp_path: Path) -> None:
    photo = noise(9, 7)
    path = tmp_path / "photo.png"
    photo.save(path)
    sources: list[Source] = [path, str(path), path.read_bytes(), pixels(photo), photo]
    for source in sources:
        decoded = decode(source)
        assert decoded.mode == "RGB"
        assert np.array_equal(pixels(decoded), pixels(photo))


def test_arrays_of_every_shape_that_is_taken() -> None:
    gray = pixels(noise(5, 4, mode="L"))
    rgba = np.dstack([np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), np.uint8)])
    assert np.array_equal(pixels(decode(gray)), np.dstack([gray] * 3))
    assert (pixels(decode(rgba)) == 255).all()
    assert pixels(decode(np.full((2, 2), 0xABCD, np.uint16))).max() == 0xAB


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4,), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((2, 4, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused_with_their_shape(
    array: np.ndarray[tuple[int, ...], np.dtype[np.generic]],
) -> None:
    with pytest.raises(ImageError, match=r"array: an array must be \(H, W\).* got \(.*\) of "):
        decode(array)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF"])
def test_truncated_image_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"half.{kind.lower()}"
    whole = encoded(noise(64, 48), kind)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match=f"half.{kind.lower()}: cannot be read as an image"):
        decode(path)


@pytest.mark.parametrize("content", [b"", b"just some text", b"\xff\xd8\xff", b"GIF89a", bytes(99)])
def test_what_is_no_image_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"notes\.jpg: cannot be read as an image"):
        decode(path)
    with pytest.raises(ImageError, match=f"image of {len(content)} bytes: "):
        decode(content)


def test_missing_file_and_folder_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"missing\.jpg: .*No such file"):
        decode(tmp_path / "missing.jpg")
    with pytest.raises(ImageError, match=f"{tmp_path.name}: cannot be read"):
        decode(tmp_path)


@pytest.mark.parametrize("side", [9_500, 50_000])
def test_declared_bomb_is_refused_before_its_pixels_are_read(tmp_path: Path, side: int) -> None:
    """The file has no pixels at all: were they read, the complaint would be of them."""
    assert side**2 > MAX_PIXELS
    path = tmp_path / "bomb.png"
    path.write_bytes(png(side, side, 8, 2, b""))
    with pytest.raises(ImageError, match=r"bomb\.png: .*89478485 pixels"):
        decode(path)


@pytest.mark.parametrize("name", usable())
def test_odd_images_are_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(usable()[name])
    photo = decode(path)
    assert photo.mode == "RGB"
    turned = name in {f"exif-{turn}.jpg" for turn in (5, 6, 7, 8)}
    sizes = {"single-pixel.png": (1, 1), "wide.png": (480, 40)}
    assert photo.size == sizes.get(name, (40, 48) if turned else (48, 40))


@pytest.mark.parametrize("name", broken())
def test_broken_images_are_refused_by_name(tmp_path: Path, name: str) -> None:
    content, reason = broken()[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ImageError, match=reason) as caught:
        decode(path)
    assert str(caught.value).startswith(printable(str(path)) + ": ")
    assert str(caught.value).isprintable()  # one line, whatever the name and the content
    assert str(caught.value).count(tmp_path.name) == 1


def test_names_that_are_no_file_are_refused(tmp_path: Path) -> None:
    for name, reason in write_specials(tmp_path).items():
        with pytest.raises(ImageError, match=rf"{name}: cannot be read as an image \({reason}"):
            decode(tmp_path / name)
    with pytest.raises(ImageError, match="it is a folder"):
        decode(tmp_path)
    with pytest.raises(ImageError, match="File name too long"):
        decode(tmp_path / ("x" * 300))
    with pytest.raises(ImageError, match=r"a\\x00b: cannot be read as an image \(.*embedded null"):
        decode("a\0b")


def test_file_of_too_many_bytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "disk.webp"
    with path.open("wb") as file:
        file.write(b"RIFF\xff\xff\xff\xffWEBPVP8 ")
        file.truncate(MAX_BYTES + 1)  # a hole: it takes no room on the disk
    with pytest.raises(ImageError, match=f"disk.webp: an image may have {MAX_BYTES} bytes"):
        decode(path)


def test_file_that_may_not_be_read(public_folder: Path) -> None:
    photo = public_folder / "secret.png"
    noise(8, 8).save(photo)
    photo.chmod(0)
    said = unprivileged(
        "from googlenet.images.decode import ImageError, decode",
        f"try:\n    decode({str(photo)!r})\nexcept ImageError as error:\n    print(error)",
    )
    assert said == f"{photo}: cannot be read as an image (Permission denied)\n"


def test_scans_of_a_jpeg() -> None:
    assert decode(many_scans(MAX_SCANS)).size == (48, 40)
    assert decode(many_empty_scans(MAX_SCANS)).size == (48, 40)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a-png-in-truth.jpg", ("PNG", 48, 40)),
        ("exif-6.jpg", ("JPEG", 48, 40)),  # as it is stored
        ("animated.gif", ("GIF", 48, 40)),
    ],
)
def test_header(tmp_path: Path, name: str, header: tuple[str, int, int]) -> None:
    path = tmp_path / name
    path.write_bytes(usable()[name])
    assert read_header(path) == read_header(path.read_bytes()) == header


def test_header_tells_of_images_that_are_refused() -> None:
    assert read_header(broken()["line.png"][0]) == ("PNG", 101, 1)
    assert read_header(broken()["truncated.jpeg"][0]) == ("JPEG", 48, 40)
    with pytest.raises(ImageError, match="no known format"):
        read_header(b"text")


def test_every_format_has_its_extensions() -> None:
    for kind in PILLOW_FORMATS:
        names = FORMATS[kind]
        assert {Image.registered_extensions()[name] for name in names} == {kind}
    assert len(PILLOW_EXTENSIONS) == sum(len(FORMATS[kind]) for kind in PILLOW_FORMATS)


def test_image_that_is_a_line_is_refused() -> None:
    """Resized by its shorter side it would fill the memory."""
    with pytest.raises(ImageError, match=f"at most {MAX_ASPECT} times as long as wide"):
        decode(np.zeros((1, MAX_ASPECT + 1), np.uint8))
    assert decode(np.zeros((1, MAX_ASPECT), np.uint8)).size == (MAX_ASPECT, 1)


def test_threads_leave_the_warning_filters_alone() -> None:
    """An image that makes Pillow warn is decoded alike by one thread and by many."""
    exif = Image.Exif()
    exif[0x010E] = "x" * 40
    whole = exif.tobytes()
    warns = encoded(noise(24, 16), "JPEG", exif=whole[:-20])  # Pillow: "Truncated File Read"
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        sizes = list(pool.map(lambda _: decode(warns).size, range(200)))
    assert set(sizes) == {(24, 16)}
    assert list(warnings.filters) == before


def test_mirrored_image_is_not_confused_with_its_mirror() -> None:
    """The oracle of the orientations above: Pillow's own mirror is orientation 2."""
    assert np.array_equal(pixels(ImageOps.mirror(Image.fromarray(RAMP))), STORED[2](RAMP))


@pytest.mark.parametrize("size", range(8))
def test_scans_are_counted_at_even_and_odd_places(size: int) -> None:
    rng = np.random.default_rng(size)
    for _ in range(30):
        content = rng.choice(np.array([0xFF, 0xDA, 0], np.uint8), size).tobytes()
        assert count_scans(content) == content.count(b"\xff\xda")
