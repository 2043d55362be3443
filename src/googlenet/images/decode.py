"""One decoder for every image: bytes, files, and arrays to 8-bit RGB.

The policy, the same in training, evaluation, and prediction (docs/image_decoding.md):

* A file's format is what its content says, whatever its name says; `FORMATS` are read, HEIC and
  JPEG XL where their packages are installed.
* EXIF orientation is applied, damaged EXIF ignored.
* Colors of an ICC profile become sRGB; a profile that is damaged or not of the image's kind is
  ignored, and what has no profile is sRGB.
* Grayscale, 1-bit, palette, CMYK, YCbCr, LAB and HSV become RGB by Pillow's conversions; a CMYK
  or YCCK JPEG is inverted, as Adobe writes it.
* Transparency is laid over white.
* 16-bit samples keep their upper eight bits; 32-bit and floating-point images are refused.
* Of an animation the first frame is taken, of several pages the first.
* An image that declares more than `max_pixels()` is refused before its pixels are read, one that
  is more than `MAX_ASPECT` times as long as wide too: resized, it would not fit the memory.  A JPEG
  of one scan may have four times as many: it is decoded at half its size.
* What is truncated, empty, no image or no file is refused with its name.
"""

from __future__ import annotations

import os
import stat
import threading
import warnings
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from googlenet.images.archived import ArchivedImage
from googlenet.images.color import to_srgb
from googlenet.images.jxl_header import read_jxl_header
from googlenet.images.optional import (
    OPTIONAL_FORMATS,
    START,
    optional_format,
    readable_extensions,
    require,
)
from googlenet.images.pixel_limit import HALVED, VARIABLE, halve_large_jpeg, max_pixels
from googlenet.runtime.errors import GoogLeNetError, printable

if TYPE_CHECKING:
    pass

Source = str | Path | bytes | NDArray[np.generic] | Image.Image | ArchivedImage

MAX_ASPECT = 100  # resized to a shorter side of 352 pixels: 37 MB
MAX_BYTES = 1 << 30  # some formats are read whole; MAX_PIXELS of 16-bit RGBA are 0.7 GB
MAX_SCANS = 100  # of a JPEG, progressive or not; encoders write about ten, each passes all pixels
# The formats that are read, by the names of Pillow, and how their files are called.
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm"),
    "AVIF": (".avif",),
}
PILLOW_FORMATS = tuple(FORMATS)
FORMATS |= {kind: names for kind, (_, names) in OPTIONAL_FORMATS.items()}
PILLOW_EXTENSIONS = frozenset(e for kind in PILLOW_FORMATS for e in FORMATS[kind])
BACKGROUND = (255, 255, 255)
# What turns the stored rows and columns upright, by the orientation that EXIF gives.
EXIF_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def is_image_extension(extension: str) -> bool:
    """Whether files of that extension, in lower case, are read as images."""
    return extension in PILLOW_EXTENSIONS or extension in readable_extensions()


class ImageError(GoogLeNetError):
    """An image that cannot be used; the message names it."""


class QuietPillow:
    """Pillow's remarks on odd files are not shown while any thread decodes, its limit is ours.

    `warnings.catch_warnings` is not made for threads: of two that overlap, the first to leave
    takes the filters from under the other, which then leaves its own behind for good.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.caught = warnings.catch_warnings()
        self.limit = Image.MAX_IMAGE_PIXELS

    def __enter__(self) -> None:
        limit = max_pixels()
        with self.lock:
            if not self.inside:
                self.caught = warnings.catch_warnings()
                self.caught.__enter__()
                warnings.filterwarnings("ignore", module="PIL")
                # Pillow refuses to open what has twice as many.
                self.limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, HALVED * limit // 2
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.caught.__exit__(None, None, None)
                Image.MAX_IMAGE_PIXELS = self.limit


QUIET = QuietPillow()


def decode(source: Source) -> Image.Image:
    """The image as an upright 8-bit sRGB image.

    An array is (H, W) gray, (H, W, 3) RGB or (H, W, 4) RGBA, uint8 or uint16.
    Raises ImageError, which names the file, for whatever cannot be decoded.
    """
    content = source.read() if isinstance(source, ArchivedImage) else source
    try:
        if isinstance(content, np.ndarray):
            return to_rgb(from_array(content))
        with QUIET:
            if isinstance(content, Image.Image):
                return to_rgb(exif_transpose(content))
            with open_image(content) as opened:
                halve_large_jpeg(opened)
                check_pixels(opened)
                return to_rgb(exif_transpose(opened))
    except Exception as error:
        # Pillow's plugins raise whatever they meet in a damaged file: struct.error, IndexError,
        # SyntaxError and more; all of it means that this file is not an image.
        raise wrap_error(source, error) from error


class Header(NamedTuple):
    """What an image's file declares: a format of `FORMATS`, and pixels as they are stored."""

    format: str
    width: int
    height: int


def read_header(source: str | Path | bytes) -> Header:
    """What the file declares, without its pixels; the image may still be refused or damaged.

    Raises ImageError, which names the file, where no image begins like this.
    """
    try:
        with QUIET, open_image(source) as opened:
            kind = "JPEG" if opened.format == "MPO" else str(opened.format)
            return Header("BMP" if kind == "DIB" else kind, *opened.size)
    except Exception as error:
        raise wrap_error(source, error) from error


def wrap_error(source: Source, error: Exception) -> ImageError:
    """The error as one sentence that begins with the image's name."""
    name = printable(name_of(source))
    if isinstance(error, ImageError):
        return ImageError(f"{name}: {error}")
    if isinstance(error, UnidentifiedImageError):
        kinds = ", ".join(FORMATS)
        reason = f"its content is of no known format: {kinds}"
    elif isinstance(error, Image.DecompressionBombError):  # twice as large, or a part of the file
        reason = f"it declares more than {max_pixels()} pixels; {VARIABLE} raises that"
    elif isinstance(error, OSError) and error.strerror:
        reason = error.strerror  # without the path, which is said already
    else:
        reason = printable(str(error)) or type(error).__name__
    return ImageError(f"{name}: cannot be read as an image ({reason})")


def open_image(source: str | Path | bytes) -> Image.Image:
    """The image with its header read.  Raises ImageError for what is no file of an image's size."""
    if isinstance(source, bytes):
        size = len(source)
    else:
        status = os.stat(source)  # noqa: PTH116 - three times as fast as Path.stat
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(source):  # says so where it may not be listed
                raise ImageError("cannot be read as an image (it is a folder)")
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
            raise ImageError("cannot be read as an image (not a regular file)")
        size = status.st_size
    if not size:
        raise ImageError("cannot be read as an image (it is empty)")
    if size > MAX_BYTES:
        raise ImageError(f"an image may have {MAX_BYTES} bytes, this has {size}")
    file = BytesIO(source) if isinstance(source, bytes) else source
    kind = optional_format(read_start(source))
    if kind is None:
        return Image.open(file, formats=PILLOW_FORMATS)
    require(kind)
    if kind == "JXL":
        return open_jxl(source if isinstance(source, bytes) else Path(source).read_bytes())
    return Image.open(file, formats=(kind,))


def read_start(source: str | Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:START]
    with open(source, "rb", buffering=0) as file:  # noqa: PTH123
        return file.read(START)


def open_jxl(content: bytes) -> Image.Image:
    """The image, decoded whole: its plugin knows no header, so bounds are checked before.

    The decoder turns pixels as the codestream says; EXIF then says so again, for others.
    """
    header = read_jxl_header(content)
    check_size(header.width, header.height)
    try:
        image = Image.open(BytesIO(content), formats=("JXL",))
    except BaseException as error:
        if isinstance(error, Exception | KeyboardInterrupt | SystemExit):
            raise
        raise ImageError(f"cannot be read as an image ({error})") from error  # a panic of Rust
    if header.orientation != 1 and not getattr(image, "jpeg", False):
        image.info.pop("exif", None)
    return image


def check_pixels(image: Image.Image) -> None:
    """Raises ImageError where the pixels would cost too much memory or time."""
    check_size(*image.size, "a progressive JPEG" if image.info.get("progressive") else "an image")
    stream = getattr(image, "fp", None)
    if image.format in ("JPEG", "MPO") and stream is not None:
        scans = count_stream_scans(stream)
        if scans > MAX_SCANS:
            raise ImageError(f"a JPEG may have {MAX_SCANS} scans, this has {scans}")


def check_size(width: int, height: int, kind: str = "an image") -> None:
    limit = max_pixels()
    if width * height > limit:
        raise ImageError(
            f"{kind} may have {limit} pixels, this declares {width}×{height}; "
            f"{VARIABLE} raises that"
        )
    check_aspect(width, height)


def check_aspect(width: int, height: int) -> None:
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(
            f"an image may be at most {MAX_ASPECT} times as long as wide, "
            f"this has {width}×{height} pixels"
        )


def count_stream_scans(stream: IO[bytes]) -> int:
    here, count, last = stream.tell(), 0, b""
    stream.seek(0)
    while chunk := stream.read(1 << 20):
        count += count_scans(last + chunk)
        last = chunk[-1:]
    stream.seek(here)
    return count


def count_scans(content: bytes) -> int:
    """How many scans a JPEG begins; its coded pixels never hold that marker by chance."""
    view, size = memoryview(content), len(content)
    even = np.frombuffer(view[: size - size % 2], "<u2")  # ten times as fast as `bytes.count`
    odd = np.frombuffer(view[1 : size - 1 + size % 2], "<u2")
    return int(np.count_nonzero(even == 0xDAFF) + np.count_nonzero(odd == 0xDAFF))


def exif_transpose(image: Image.Image) -> Image.Image:
    """The image as it was seen, by its EXIF orientation; unturned where that cannot be read."""
    image.load()  # a TIFF file is turned here, and its orientation then gone
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
        turn = EXIF_TRANSPOSE.get(orientation or 1)
    except Exception:  # whatever Pillow meets in damaged EXIF: the pixels are sound
        return image
    return image if turn is None else image.transpose(turn)


def to_rgb(image: Image.Image) -> Image.Image:
    """The image in mode RGB, sRGB, transparency over white, upper eight bits of sixteen."""
    check_aspect(*image.size)
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise ImageError("32-bit images are not supported, 8 and 16 bits are")
        transparent = image.info.get("transparency")
        image = Image.fromarray((values >> 8).astype(np.uint8))
        if isinstance(transparent, int):
            image.putalpha(Image.fromarray(values != transparent).convert("L"))
    elif image.mode == "F":
        raise ImageError("floating-point images are not supported, 8 and 16 bits are")
    if image.mode in ("RGBa", "La"):  # colors multiplied by their opacity
        image = image.convert(image.mode.upper())
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    colors = to_srgb(image, profile) if isinstance(profile, bytes) else image.convert("RGB")
    if alpha is None:
        return colors
    colors.putalpha(alpha)
    background = Image.new("RGBA", colors.size, BACKGROUND)
    return Image.alpha_composite(background, colors).convert("RGB")


def from_array(array: NDArray[np.generic]) -> Image.Image:
    shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if not shaped or array.dtype not in (np.uint8, np.uint16) or array.size == 0:
        raise ImageError(
            "an array must be (H, W), (H, W, 3) or (H, W, 4) of uint8 or uint16, "
            f"got {array.shape} of {array.dtype}"
        )
    if array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)  # type: ignore[operator]
    return Image.fromarray(array)


def name_of(source: Source) -> str:
    """What to call an image in a message: its path, or what it came as."""
    if isinstance(source, str | Path | ArchivedImage):
        return str(source)
    if isinstance(source, bytes):
        return f"image of {len(source)} bytes"
    if isinstance(source, np.ndarray):
        return "array"
    return str(getattr(source, "filename", "") or "image")
