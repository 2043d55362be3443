"""Boxes of turned photos, against Pillow's own turning of the same pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from googlenet.detection.load_boxes import load_boxes

BOX = (3, 5, 9, 17)  # in the pixels of the stored image
WIDTH, HEIGHT = 40, 30


def turned(path: Path, orientation: int) -> tuple[list[int], tuple[int, int]]:
    """Write an image whose box is white; the box and the size after Pillow has turned it."""
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 255
    stored = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x112] = orientation
    stored.save(path, exif=exif)
    with Image.open(path) as opened:
        upright = ImageOps.exif_transpose(opened)
    y, x = np.nonzero(np.asarray(upright))
    return [int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1], upright.size


def write(folder: Path, box: tuple[int, ...] | list[int], size: tuple[int, int] | None) -> Path:
    entry: dict[str, object] = {"id": 1, "file_name": "a.png"}
    if size:
        entry |= {"width": size[0], "height": size[1]}
    x1, y1, x2, y2 = box
    annotation = {"image_id": 1, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
    categories = [{"id": 1, "name": "cat"}]
    value = {"images": [entry], "annotations": [annotation], "categories": categories}
    (folder / "boxes.json").write_text(json.dumps(value))
    return folder


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_stated_sizes_tell_which_pixels_are_meant(orientation: int, tmp_path: Path) -> None:
    upright, size = turned(tmp_path / "a.png", orientation)
    for box, stated in ((BOX, (WIDTH, HEIGHT)), (upright, size), (upright, None)):
        found = load_boxes(str(write(tmp_path, box, stated))).train[0]
        assert (found.width, found.height) == size
        assert found.truth.boxes.tolist() == [upright]


@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
def test_where_sizes_do_not_differ_boxes_are_upright(orientation: int, tmp_path: Path) -> None:
    upright, size = turned(tmp_path / "a.png", orientation)
    found = load_boxes(str(write(tmp_path, upright, size))).train[0]
    assert found.truth.boxes.tolist() == [upright]
