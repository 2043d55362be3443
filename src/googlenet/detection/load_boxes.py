"""Any annotated images by what a user calls them, checked and split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from googlenet.data.account import Account, Note, canonical
from googlenet.data.labels import Class, DataError, class_from_label, sort_labels
from googlenet.data.split import held_by_name
from googlenet.detection.annotations import SPLITS, AnnotatedImage, BoxDataSet, Truth
from googlenet.detection.formats.coco import coco_files, read_coco
from googlenet.detection.formats.raw import RawBox, RawData, RawImage
from googlenet.detection.formats.table import is_box_table, read_box_table
from googlenet.detection.formats.voc import is_voc, read_voc
from googlenet.detection.formats.yolo import read_yolo, yolo_file
from googlenet.detection.upright import StoredSize, stored_size, upright_boxes
from googlenet.images.decode import ImageError
from googlenet.runtime.errors import UsageError, printable

FORMATS = "Pascal VOC, COCO JSON, a YOLO folder with its YAML, or a CSV file with boxes"
SHOWN_NOTES = 3  # of a kind, in an account


def load_boxes(name: str, seed: int = 0, classes: Sequence[Class] | None = None) -> BoxDataSet:
    """The annotated images of that name, of whichever format their content shows.

    Where they bring no split, a fifth of the images is held out for validation by `seed`, as for
    classification; a test split is never learned from.  classes: a trained model's; boxes of
    others are left out.  What cannot be used is left out and named in the account's notes.
    Raises UsageError for a name that is nothing, DataError for unusable data.
    """
    data = assemble(Path(name), read_raw(name), classes)
    if not any(len(image.truth) for image in data.images("all")):
        raise DataError(f"{data.name}: must have at least one usable box, has none")
    return data if data.val else hold_out(data, seed)


def read_raw(name: str) -> RawData:
    """Raises UsageError where there is no such file, DataError for another kind of data."""
    path = Path(name)
    if not path.exists():
        raise UsageError(f"DATA must be {FORMATS}, got {name!r}, which does not exist")
    found = recognize(path)
    if found is None:
        raise DataError(f"{printable(name)}: must be {FORMATS}, is none of these")
    return found


def recognize(path: Path) -> RawData | None:
    """The annotations in a file or folder, None where it has none."""
    if yolo_file(path):
        return read_yolo(path)
    if path.is_file():
        if is_box_table(path):
            return read_box_table(path)
        return read_coco(path) if path.suffix == ".json" and coco_files(path) else None
    tables = [each for each in sorted(path.glob("*.csv")) if is_box_table(each)]
    if tables:
        return read_box_table(tables[0])
    if coco_files(path):
        return read_coco(path)
    return read_voc(path) if is_voc(path) else None


def has_boxes(name: str) -> bool:
    """Whether a name is annotated images, without reading all of them."""
    path = Path(name)
    if yolo_file(path) if path.exists() else False:
        return True
    if path.is_file():
        return is_box_table(path) or (path.suffix == ".json" and bool(coco_files(path)))
    if not path.is_dir():
        return False
    return (
        any(is_box_table(each) for each in sorted(path.glob("*.csv")))
        or bool(coco_files(path))
        or is_voc(path)
    )


def assemble(path: Path, raw: RawData, classes: Sequence[Class] | None) -> BoxDataSet:
    """Checked images in their splits."""
    labels = {canonical(box.label) for image in raw.images for box in image.boxes}
    order = raw.classes or sort_labels(labels - {""})
    chosen = tuple(classes or map(class_from_label, order))
    index = {canonical(c.name): i for i, c in enumerate(chosen)}
    index |= {canonical(c.id): i for i, c in enumerate(chosen)}
    notes = [
        Note(kind, printable(where), printable(detail)) for where, kind, detail in raw.problems
    ]
    parts: dict[str, list[AnnotatedImage]] = {split: [] for split in SPLITS}
    for image in raw.images:
        found = check_image(image, index, notes)
        if found is not None:
            parts[image.split or "train"].append(found)
    train, val, test = (tuple(parts[split]) for split in SPLITS)
    said = "" if raw.how == "CSV" else raw.how
    name = printable(path.resolve().name)
    return BoxDataSet(
        name, chosen, train, val, test, account=Account(notes=tuple(notes), table=said)
    )


def check_image(image: RawImage, index: dict[str, int], notes: list[Note]) -> AnnotatedImage | None:
    """The image with the boxes that can be used; None where the image itself cannot."""
    called = printable(image.name)
    if image.path is None:
        notes.append(Note("missing-image", called, "the annotation's image is not there"))
        return None
    try:
        stored = stored_size(image.path)
    except ImageError as error:
        notes.append(Note("unreadable", called, printable(str(error))))
        return None
    width, height = stored.upright
    boxes, labels, difficult, crowd = [], [], [], []
    for box in image.boxes:
        found = check_box(box, image, stored, index, notes)
        if found is not None:
            boxes.append(found)
            labels.append(index[canonical(box.label)])
            difficult.append(box.difficult)
            crowd.append(box.crowd)
    if not image.boxes:
        notes.append(Note("no-boxes", called, "has no boxes: all of it is background"))
    return AnnotatedImage(image.path, width, height, Truth.of(boxes, labels, difficult, crowd))


def check_box(
    box: RawBox, image: RawImage, stored: StoredSize, index: dict[str, int], notes: list[Note]
) -> list[float] | None:
    """The box in the pixels of the upright image, inside it; None where it is left out."""
    called, shown = printable(image.name), ", ".join(f"{v:g}" for v in box.box)
    width, height = stored.upright

    def note(kind: str, detail: str) -> None:
        notes.append(Note(kind, called, detail))

    if canonical(box.label) not in index:
        note("unknown-class", f"the class {printable(box.label)!r} is not in the list")
        return None
    if not np.isfinite(box.box).all():
        note("bad-annotation", f"a box must have four finite numbers, has {shown}")
        return None
    given = np.array(box.box)
    corners = (
        given * [width, height, width, height]
        if image.relative
        else upright_boxes(given, stored, image.size)
    )
    x1, y1, x2, y2 = corners
    if x1 > x2 or y1 > y2:
        note("inverted-box", f"a box must have x1 ≤ x2 and y1 ≤ y2, has {shown}")
        return None
    if x1 == x2 or y1 == y2:
        note("empty-box", f"a box must have width and height, has {shown}")
        return None
    low, high = np.clip(corners[:2], 0, [width, height]), np.clip(corners[2:], 0, [width, height])
    inside = [*map(float, low), *map(float, high)]
    if not (high > low).all():
        note("outside-box", f"the box {shown} lies outside the image of {width}×{height}")
        return None
    if np.abs(corners - inside).max() > 1.5:  # counting from 0 or 1 makes one
        note("outside-box", f"the box {shown} goes beyond the image of {width}×{height}: cut off")
    return inside


def hold_out(data: BoxDataSet, seed: int) -> BoxDataSet:
    """A fifth of the training images for validation, each by its own name."""
    images = data.train
    if len(images) < 2:
        return replace(data, has_split=False)
    held = held_by_name([range(len(images))], [image.path.name for image in images], seed)
    return replace(
        data,
        train=tuple(image for i, image in enumerate(images) if i not in held),
        val=tuple(image for i, image in enumerate(images) if i in held),
        has_split=False,
    )
