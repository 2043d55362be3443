"""Boxes of objects in images, as fractions of the image's width and height.

Two layouts: the lists of the WSOL benchmark (Choe et al. 2020, arXiv 2001.07437), a folder with
`localization.txt` (`path,x1,y1,x2,y2` per box) and `image_sizes.txt` (`path,width,height`), and a
folder of annotations in the XML of Pascal VOC and ILSVRC, one file per image.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from googlenet.data.labels import DataError

LISTS = ("localization.txt", "image_sizes.txt")

# By the image's name without folder and extension: (n, 4), left, top, right, bottom in 0–1.
Boxes = dict[str, NDArray[np.float64]]


def load_boxes(folder: Path) -> Boxes:
    """The boxes of every image that the folder knows.

    Boxes without area are dropped.  Raises DataError, which names the file and the line, for what
    is neither layout.
    """
    if (folder / LISTS[0]).is_file():
        found = list_boxes(folder)
    elif folder.is_dir() and (files := sorted(folder.rglob("*.xml"))):
        found = (box for file in files for box in xml_boxes(file))
    else:
        raise DataError(
            f"{folder}: boxes must be a folder with {' and '.join(LISTS)}, or with .xml files"
        )
    boxes: dict[str, list[NDArray[np.float64]]] = {}
    for name, width, height, corners in found:
        box = np.clip(np.array(corners) / (width, height, width, height), 0, 1)
        if box[0] < box[2] and box[1] < box[3]:
            boxes.setdefault(name, []).append(box)
    return {name: np.stack(some) for name, some in boxes.items()}


Found = Iterator[tuple[str, float, float, list[float]]]  # name, width, height, corners


def list_boxes(folder: Path) -> Found:
    sizes = dict(rows(folder / LISTS[1], 2))
    for name, corners in rows(folder / LISTS[0], 4):
        if name not in sizes:
            raise DataError(f"{folder / LISTS[1]}: must have the size of {name}, which has boxes")
        yield name, sizes[name][0], sizes[name][1], corners


def rows(file: Path, count: int) -> Iterator[tuple[str, list[float]]]:
    """An image's name and `count` numbers per line; sizes are above 0."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({error})") from error
    for number, line in enumerate(lines, 1):
        path, *texts = line.split(",")
        try:
            values = [float(text) for text in texts]
        except ValueError:
            values = []
        if (
            len(values) != count
            or not np.isfinite(values).all()
            or (count == 2 and min(values) <= 0)
        ):
            raise DataError(
                f"{file}, line {number}: must be a path and {count} numbers, got {line!r}"
            )
        yield stem(path), values


def xml_boxes(file: Path) -> Found:
    """Of ILSVRC's and VOC's XML; the corners are pixels, the first of which is 1."""
    try:
        content = file.read_bytes()
        if b"<!ENTITY" in content:  # which may grow without bounds
            raise DataError(f"{file}: must not declare entities")
        root = ElementTree.fromstring(content)
        width, height = (number(root, f"size/{side}") for side in ("width", "height"))
        if min(width, height) <= 0:
            raise ValueError("its size must be above 0")
        for found in root.iter("bndbox"):
            left, top, right, bottom = (number(found, n) for n in ("xmin", "ymin", "xmax", "ymax"))
            yield stem(file.name), width, height, [left - 1, top - 1, right, bottom]
    except (OSError, ElementTree.ParseError, ValueError, TypeError) as error:
        raise DataError(f"{file}: not an annotation in VOC's XML ({error})") from error


def number(parent: ElementTree.Element, path: str) -> float:
    return float(parent.findtext(path) or "")


def stem(path: str) -> str:
    """What an image is found by: its name without folders and extension."""
    return Path(path.replace("\\", "/")).stem
