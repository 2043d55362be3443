"""Boxes of images that a camera stored turned: from stored pixels to upright ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags

from googlenet.images.decode import EXIF_TRANSPOSE, QUIET, open_image, wrap_error

TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange width and height


class StoredSize(NamedTuple):
    """Width and height of the pixels as a file stores them, and the EXIF orientation."""

    width: int
    height: int
    orientation: int = 1

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height of the decoded image."""
        turned = self.orientation in TURNED
        return (self.height, self.width) if turned else (self.width, self.height)


def stored_size(path: Path) -> StoredSize:
    """What a file declares, without its pixels.  Raises ImageError for a file that is no image."""
    try:
        with QUIET, open_image(path) as opened:
            try:
                found = opened.getexif().get(ExifTags.Base.Orientation, 1)
            except Exception:  # damaged EXIF is ignored, as in decoding
                found = 1
            return StoredSize(*opened.size, found if found in EXIF_TRANSPOSE else 1)
    except Exception as error:
        raise wrap_error(path, error) from error


def upright_boxes(
    box: NDArray[np.floating[Any]], stored: StoredSize, stated: tuple[int, int] | None
) -> NDArray[np.floating[Any]]:
    """The box (4,) in the pixels of the upright image.

    stated: the annotation's own width and height.  A box is taken as drawn on the upright image,
    unless these are the stored ones and differ from the upright ones.
    """
    if stated != (stored.width, stored.height) or stated == stored.upright:
        return box
    x1, y1, x2, y2 = box
    w, h = stored.width, stored.height
    turned = {
        2: (w - x2, y1, w - x1, y2),
        3: (w - x2, h - y2, w - x1, h - y1),
        4: (x1, h - y2, x2, h - y1),
        5: (y1, x1, y2, x2),
        6: (h - y2, x1, h - y1, x2),
        7: (h - y2, w - x2, h - y1, w - x1),
        8: (y1, w - x2, y2, w - x1),
    }
    return np.array(turned[stored.orientation])
