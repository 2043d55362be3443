"""Every kind of dirty image that the decoder has a policy for, made here, and mutations of files.

`USABLE` are odd and must be read; `BROKEN` must be refused by name, for the reason given.
"""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, features

from tests.fixtures import encoded, noise, tinted

FUZZED = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF")


def photo(seed: int = 0) -> Image.Image:
    """48 × 40 noisy pixels of one color: an image of the class red."""
    return tinted("red", seed)


def with_orientation(kind: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(photo(), kind, exif=exif)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, bits: int, colour: int, data: bytes, extra: bytes = b"") -> bytes:
    """A PNG file from its raw rows, for kinds that Pillow cannot write."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = [
        png_chunk(b"IHDR", header),
        extra,
        png_chunk(b"IDAT", zlib.compress(data)),
        png_chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def sixteen_bit_rgb() -> bytes:
    rows = np.asarray(photo()).astype(">u2") * 257
    return png(48, 40, 16, 2, b"".join(b"\0" + row.tobytes() for row in rows))


def ycck(cmyk: Image.Image) -> bytes:
    """A JPEG as Imageshop writes it: inverted CMYK, its first three channels as luma and chroma.

    Pillow writes inverted CMYK without the conversion, so it is given what inverts to the
    converted channels, and the marker then says that they are converted (transform 2).
    """
    cyan, magenta, yellow, black = cmyk.split()
    converted = Image.merge("RGB", (cyan, magenta, yellow)).convert("YCbCr").split()
    inverted = [band.point([255 - level for level in range(256)]) for band in converted]
    data = encoded(Image.merge("CMYK", (*inverted, black)), "JPEG", quality=100, subsampling=0)
    at = data.index(b"Adobe") + len(b"Adobe") + 6
    assert data[at] == 0
    return data[:at] + b"\x02" + data[at + 1 :]


@cache
def turned_profile() -> bytes:
    """sRGB with its primaries in turn: its red is sRGB's green, its green blue, its blue red."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">I", profile, 128)  # of tags: name, place, length
    tags = {bytes(profile[at : at + 4]): at + 4 for at in range(132, 132 + 12 * count, 12)}
    names = (b"rXYZ", b"gXYZ", b"bXYZ")
    places = [bytes(profile[tags[name] : tags[name] + 8]) for name in names]
    for name, place in zip(names, (places[1], places[2], places[0]), strict=True):
        profile[tags[name] : tags[name] + 8] = place
    return bytes(profile)


def grey_profile() -> bytes:
    """The smallest ICC profile of a gray scale: light is the value to the power of 1.8."""
    white = b"XYZ " + struct.pack(">4x3I", 0xF6D6, 0x10000, 0xD32D)
    curve = b"curv" + struct.pack(">4xIHH", 1, 0x01CD, 0)  # one entry: the exponent, 1.8
    begin = 128 + 4 + 2 * 12
    tags = struct.pack(">I4sII4sII", 2, b"wtpt", begin, len(white), b"kTRC", begin + len(white), 14)
    body = tags + white + curve
    header = struct.pack(
        ">I4sI4s4s4s12s4s4x4s28s", 128 + len(body), b"\0" * 4, 0x02100000, b"mntr", b"GRAY",
        b"XYZ ", bytes(12), b"acsp", bytes(4), bytes(28),
    )[:68]  # fmt: skip
    return header + white[8:] + bytes(128 - 68 - 12) + body


def many_scans(scans: int = 101) -> bytes:
    """A progressive JPEG whose last scan is there again and again: each costs time."""
    whole = encoded(photo(), "JPEG", progressive=True)
    begin, end = whole.rindex(b"\xff\xda"), whole.rindex(b"\xff\xd9")
    more = scans - whole.count(b"\xff\xda")
    return whole[:end] + whole[begin:end] * more + whole[end:]


def many_empty_scans(scans: int = 101) -> bytes:
    """A JPEG that is not progressive, its colors in scans of their own, most without pixels."""
    gray = encoded(photo().convert("L"), "JPEG")
    frame, begin = gray.index(b"\xff\xc0"), gray.index(b"\xff\xda")
    colors = bytes([3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0])  # three, each with the first table
    head = gray[: frame + 2] + b"\x00\x11" + gray[frame + 4 : frame + 9] + colors
    tables, coded = gray[frame + 13 : begin], gray[begin + 10 : -2]
    each = [b"\xff\xda\x00\x08" + bytes([1, colour, 0, 0, 63, 0]) for colour in (1, 2, 3)]
    whole = head + tables + b"".join(scan + coded for scan in each)
    return whole + each[2] * (scans - 3) + b"\xff\xd9"


def animation(kind: str) -> bytes:
    return encoded(photo(0), kind, save_all=True, append_images=[photo(1), photo(2)], duration=9)


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def damaged_check_sum() -> bytes:
    data = bytearray(encoded(photo()))
    data[data.index(b"IDAT") + 40] ^= 0xFF
    return bytes(data)


@cache
def usable() -> dict[str, bytes]:
    """Odd images by file name, each of which must be read; all are of the class red."""
    rgba = photo().convert("RGBA")
    rgba.putalpha(noise(48, 40, mode="L"))
    bits = photo().convert("1")
    found = {f"exif-{turn}.jpg": with_orientation("JPEG", turn) for turn in range(1, 9)}
    found |= {
        "grey.jpg": encoded(photo().convert("L"), "JPEG"),
        "one-bit.png": encoded(bits),
        "one-bit.tif": encoded(bits, "TIFF", compression="group4"),
        "palette.png": encoded(photo().quantize(16)),
        "alpha.png": encoded(rgba),
        "alpha.webp": encoded(rgba, "WEBP"),
        "grey-alpha.png": encoded(rgba.convert("LA")),
        "cmyk.jpg": encoded(photo().convert("CMYK"), "JPEG"),
        "ycck.jpg": ycck(photo().convert("CMYK")),
        "cmyk.tif": encoded(photo().convert("CMYK"), "TIFF"),
        "profile.jpg": encoded(photo(), "JPEG", icc_profile=turned_profile()),
        "damaged-profile.jpg": encoded(photo(), "JPEG", icc_profile=b"no profile"),
        "damaged-exif.jpg": encoded(photo(), "JPEG", exif=b"Exif\0\0no TIFF header"),
        "sixteen-bit-grey.png": encoded(in_mode("I;16")),
        "sixteen-bit.png": sixteen_bit_rgb(),
        "animated.gif": animation("GIF"),
        "animated.png": animation("PNG"),
        "animated.webp": animation("WEBP"),
        "pages.tif": encoded(photo(), "TIFF", save_all=True, append_images=[photo(1)]),
        "progressive.jpg": encoded(photo(), "JPEG", progressive=True),
        "a-png-in-truth.jpg": encoded(photo()),
        "a-jpeg-in-truth.png": encoded(photo(), "JPEG"),
        "single-pixel.png": encoded(Image.new("RGB", (1, 1), "red")),
        "wide.png": encoded(photo().resize((480, 40))),
        "ünïcødé 猫 \U0001f4f7.png": encoded(photo(3)),
        "right-to-left-\u202egnp.png": encoded(photo(4)),
        "new\nline.png": encoded(photo(5)),
        "escape\x1b[31m.png": encoded(photo(6)),
        os.fsdecode(b"caf\xe9.png"): encoded(photo(7)),
    }  # fmt: skip
    if features.check("avif"):
        found["photo.avif"] = encoded(photo(), "AVIF")
    return found


@cache
def broken() -> dict[str, tuple[bytes, str]]:
    """Images by file name that must be refused, with what is said of them."""
    whole = {kind: encoded(photo(), kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF")}
    unknown = r"cannot be read as an image \(its content is of no known format"
    too_large = "it declares more than 89478485 pixels"
    found = {
        f"truncated.{kind.lower()}": (half(data), "cannot be read as an image")
        for kind, data in whole.items()
    }
    return found | {
        "empty.jpg": (b"", r"cannot be read as an image \(it is empty\)"),
        "text.jpg": (b"just some text\n", unknown),
        "page-not-found.jpg": (b"<!DOCTYPE html><title>404</title>", unknown),
        "telephone.jpg": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64), unknown),
        "script.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", unknown),
        "header-only.jpg": (b"\xff\xd8\xff", "cannot be read as an image"),
        "zero-sized.png": (png(0, 0, 8, 2, b""), "cannot be read as an image"),
        "zero-sized.bmp": (zero_wide_bmp(), "cannot be read as an image"),
        "zero-sized.gif": (b"GIF89a" + bytes(7) + b";", "cannot be read as an image"),
        "check-sum.png": (damaged_check_sum(), "cannot be read as an image"),
        "line.png": (png(101, 1, 8, 0, bytes(102)), "at most 100 times as long as wide"),
        "enormous.png": (png(60_000, 50_000, 8, 2, b""), too_large),
        "large.png": (png(9_500, 9_500, 8, 2, b""), "may have 89478485 pixels, .* 9500×9500"),
        "enormous.gif": (enormous_gif(), too_large),
        "enormous.bmp": (enormous_bmp(), too_large),
        "scans.jpg": (many_scans(), "a JPEG may have 100 scans, this has 101"),
        "empty-scans.jpg": (many_empty_scans(), "a JPEG may have 100 scans, this has 101"),
        "float.tif": (
            encoded(Image.fromarray(np.eye(9, dtype=np.float32)), "TIFF"),
            "floating-point images are not supported",
        ),
        "wide-samples.tif": (
            encoded(Image.fromarray(np.eye(9, dtype=np.int32) * 70_000), "TIFF"),
            "32-bit images are not supported",
        ),
        "odd\nname \x1b[2J.jpg": (b"no photo", r"odd\\nname \\x1b\[2J\.jpg: " + unknown),
        os.fsdecode(b"broken caf\xe9.jpg"): (b"no photo", r"caf\\udce9\.jpg: " + unknown),
    }


def zero_wide_bmp() -> bytes:
    return bmp_of_size(0, 40)


def enormous_bmp() -> bytes:
    return bmp_of_size(40_000, 40_000)


def bmp_of_size(width: int, height: int) -> bytes:
    data = bytearray(encoded(photo(), "BMP"))
    struct.pack_into("<ii", data, 18, width, height)
    return bytes(data)


def enormous_gif() -> bytes:
    data = bytearray(encoded(photo(), "GIF"))
    struct.pack_into("<HH", data, 6, 65_535, 65_535)
    return bytes(data)


def write_specials(folder: Path) -> dict[str, str]:
    """Names in a folder that are no image's file, and what is said of them."""
    (folder / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    os.mkfifo(folder / "pipe.jpg")
    return {
        "dangling.jpg": "No such file or directory",
        "loop.jpg": "Too many levels of symbolic links",
        "pipe.jpg": "not a regular file",
    }


# ---- mutations -------------------------------------------------------------------------------


def samples_of(kind: str) -> list[bytes]:
    """Valid files of a format, of the sorts that people have."""
    options: dict[str, list[tuple[str, dict[str, Any]]]] = {
        "JPEG": [
            ("RGB", {}), ("L", {}), ("CMYK", {}), ("RGB", {"progressive": True}),
            ("RGB", {"icc_profile": turned_profile()}), ("RGB", {"exif": exif_of(6)}),
        ],
        "PNG": [("RGB", {}), ("RGBA", {}), ("P", {}), ("1", {}), ("I;16", {}), ("LA", {}),
                ("RGB", {"icc_profile": turned_profile()})],
        "WEBP": [("RGB", {}), ("RGBA", {"lossless": True}), ("RGB", {"exif": exif_of(3)})],
        "BMP": [("RGB", {}), ("P", {}), ("1", {}), ("RGBA", {})],
        "GIF": [("P", {}), ("L", {}), ("P", {"transparency": 0})],
        "TIFF": [
            ("RGB", {}), ("RGB", {"compression": "tiff_lzw"}), ("RGB", {"compression": "jpeg"}),
            ("CMYK", {}), ("1", {"compression": "group4"}), ("I;16", {}),
            ("RGB", {"compression": "tiff_adobe_deflate"}), ("F", {}),
        ],
        "PPM": [("RGB", {}), ("L", {}), ("1", {})],
        "AVIF": [("RGB", {}), ("RGBA", {})] if features.check("avif") else [],
    }  # fmt: skip
    return [encoded(in_mode(mode), kind, **extra) for mode, extra in options[kind]]


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "a description"
    return exif


def in_mode(mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(np.asarray(photo().convert("L")).astype(np.uint16) * 257)
    return photo().quantize(16) if mode == "P" else photo().convert(mode)


def flip(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed; headers, at the beginning, as often as the long rest."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        end = len(data) if rng.random() < 0.5 else min(len(data), 64)
        at = int(rng.integers(end))
        extreme = rng.random() < 0.3
        changed[at] = int(rng.choice([0, 255, 127, 128])) if extreme else int(rng.integers(256))
    return bytes(changed)


def truncate(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(len(data)))]


def insert(data: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(data) + 1))
    return data[:at] + rng.bytes(int(rng.integers(1, 65))) + data[at:]


def splice(data: bytes, rng: np.random.Generator) -> bytes:
    """A piece of the file over another place of it: sizes, tables and pixels change places."""
    begin, to = (int(n) for n in rng.integers(len(data), size=2))
    length = int(rng.integers(1, 257))
    return data[:to] + data[begin : begin + length] + data[to + length :]


MUTATIONS: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (
    flip, truncate, insert, splice,
)  # fmt: skip


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """The file after one to three mutations."""
    for _ in range(int(rng.integers(1, 4))):
        data = MUTATIONS[int(rng.integers(len(MUTATIONS)))](data, rng) or b"\0"
    return data


def is_right_answer(image: Image.Image, data: bytes) -> bool:
    """Whether a decoded image is of the size that Pillow reads in the file, upright, in RGB."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(BytesIO(data)) as declared:
            sides = {declared.size, declared.size[::-1]}
    return image.mode == "RGB" and image.size in sides
