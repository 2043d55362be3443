"""One decoder for every photo that enters: bytes, files and arrays to 8-bit RGB.

The policy, the same in training, evaluation and prediction:

* EXIF orientation is applied, damaged EXIF ignored; ICC profiles are not applied.
* Greyscale, 1-bit, palette, CMYK, YCbCr, LAB and HSV become RGB by Pillow's conversions.
* Transparency is laid over white.
* 16-bit samples keep their upper eight bits; 32-bit and floating-point photos are refused.
* Of an animation the first frame is taken.
* A photo that declares more than `MAX_PIXELS` is refused before its pixels are read, one that is
  more than `MAX_ASPECT` times as long as wide too: resized, it would not fit the memory.
* What is truncated or is no image is refused with its name.
"""

from __future__ import annotations

import threading
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from googlenet.errors import GoogLeNetError
from googlenet.images.stored import StoredPhoto

Source = str | Path | bytes | NDArray[np.generic] | Image.Image | StoredPhoto

MAX_PIXELS = 89_478_485  # Pillow's own limit: a quarter of a gigabyte as RGB
MAX_ASPECT = 100  # resized to a shorter side of 352 pixels: 37 MB
EXTENSIONS = frozenset(
    f".{kind}"
    for kind in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "gif"),
        *("tif", "tiff", "ppm", "pgm", "pbm", "avif"),
    )
)
BACKGROUND = (255, 255, 255)
# What turns the stored rows and columns upright, by the orientation that EXIF gives.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(GoogLeNetError):
    """A photo that cannot be used; the message names it."""


class QuietPillow:
    """Pillow's remarks on odd files are not shown while any thread decodes.

    `warnings.catch_warnings` is not made for threads: of two that overlap, the first to leave
    takes the filters from under the other, which then leaves its own behind for good.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.caught = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self.caught = warnings.catch_warnings()
                self.caught.__enter__()
                warnings.filterwarnings("ignore", module="PIL")
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.caught.__exit__(None, None, None)


QUIET = QuietPillow()


def decode(source: Source) -> Image.Image:
    """The photo as an upright 8-bit RGB image.

    An array is (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA, uint8 or uint16.
    Raises ImageError, which names the file, for whatever cannot be decoded.
    """
    content = source.read() if isinstance(source, StoredPhoto) else source
    try:
        if isinstance(content, np.ndarray):
            return to_rgb(from_array(content))
        with QUIET:
            if isinstance(content, Image.Image):
                return to_rgb(upright(content))
            with Image.open(BytesIO(content) if isinstance(content, bytes) else content) as opened:
                refuse_bomb(opened)
                return to_rgb(upright(opened))
    except ImageError as error:
        raise ImageError(f"{name_of(source)}: {error}") from None
    except Exception as error:
        # Pillow's plugins raise whatever they meet in a damaged file: struct.error, IndexError,
        # SyntaxError and more; all of it means that this file is no photo.
        raise ImageError(f"{name_of(source)}: cannot be read as an image ({error})") from error


def refuse_bomb(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"a photo may have {MAX_PIXELS} pixels, this declares {width}×{height}")


def upright(image: Image.Image) -> Image.Image:
    """The photo as it was seen, by its EXIF orientation; unturned where that cannot be read."""
    image.load()  # a TIFF file is turned here, and its orientation then gone
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # whatever Pillow meets in damaged EXIF: the pixels are sound
        return image
    turn = TURNS.get(orientation or 1)
    return image if turn is None else image.transpose(turn)


def to_rgb(image: Image.Image) -> Image.Image:
    """The image in mode RGB, transparency over white, upper eight bits of sixteen."""
    if max(image.size) > MAX_ASPECT * min(image.size):
        raise ImageError(
            f"a photo may be at most {MAX_ASPECT} times as long as wide, "
            f"this has {image.width}×{image.height} pixels"
        )
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise ImageError("32-bit photos are not supported, 8 and 16 bits are")
        transparent = image.info.get("transparency")
        image = Image.fromarray((values >> 8).astype(np.uint8))
        if isinstance(transparent, int):
            image.paste(255, mask=Image.fromarray(values == transparent))
    elif image.mode == "F":
        raise ImageError("floating-point photos are not supported, 8 and 16 bits are")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        background = Image.new("RGBA", rgba.size, BACKGROUND)
        image = Image.alpha_composite(background, rgba)
    return image.convert("RGB")


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
    """What to call a photo in a message: its path, or what it came as."""
    if isinstance(source, str | Path | StoredPhoto):
        return str(source)
    if isinstance(source, bytes):
        return f"photo of {len(source)} bytes"
    if isinstance(source, np.ndarray):
        return "array"
    return str(getattr(source, "filename", "") or "image")
