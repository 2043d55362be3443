"""What is wrong with the boxes of annotated images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from googlenet.data.account import Note
from googlenet.data.labels import DataError
from googlenet.detection.annotations import AnnotatedImage, BoxDataSet
from googlenet.detection.boxes import iou
from googlenet.detection.formats.raw import RawData
from googlenet.detection.load_boxes import assemble, hold_out, read_raw
from googlenet.runtime.errors import printable

SAME_PLACE = 0.95  # IoU of two boxes of a class from which on they are one object, drawn twice
TINY = 4  # pixels of a box's shorter side, below which it is named
SHARES = 1.001  # the largest number of a data set whose boxes are shares of the sides
AT_ONE = 5  # boxes that begin exactly at 1, where none begins before: pixels counted from 1


def check_boxes(name: str, seed: int) -> tuple[BoxDataSet, list[Note]]:
    """The annotated images as training with that seed would use them, and their problems.

    Raises UsageError for a name that is nothing, DataError for data without any box.
    """
    raw = read_raw(name)
    data = assemble(Path(name), raw, None)
    if not data.classes or not any(image.boxes for image in raw.images):
        raise DataError(f"{data.name}: must have at least one box, has none")
    data = data if data.val else hold_out(data, seed)
    notes = [*data.account.notes, *coordinate_notes(printable(name), raw)]
    for image in data.images("all"):
        notes += duplicate_notes(image, data) + tiny_notes(image)
    return data, notes


def coordinate_notes(where: str, raw: RawData) -> list[Note]:
    """Pixels against shares of the sides, counted from 0 or from 1, judged by all boxes at once.

    Readers of Pascal VOC have turned theirs into pixels from 0, and told what they found.
    """
    corners = [b.box for image in raw.images if not image.relative for b in image.boxes]
    values = np.array(corners, float).reshape(-1, 4)
    values = values[np.isfinite(values).all(1)]
    if not len(values):
        return []
    if values.max() <= SHARES:
        detail = f"no coordinate is above {values.max():.4g}: shares of the sides, not pixels?"
        return [Note("relative-boxes", where, detail)]
    starts = values[:, :2]
    at_one = int((starts == 1).any(1).sum())
    if raw.how != "Pascal VOC" and at_one >= AT_ONE and starts.min() >= 1:
        detail = f"{at_one} boxes begin at 1 and none before: pixels counted from 1, not from 0?"
        return [Note("one-based", where, detail)]
    return []


def duplicate_notes(image: AnnotatedImage, data: BoxDataSet) -> list[Note]:
    """Each box that an earlier one of its class covers."""
    truth, found = image.truth, []
    overlap = iou(truth.boxes, truth.boxes)
    same = (overlap >= SAME_PLACE) & (truth.labels[:, None] == truth.labels[None])
    for i in range(len(truth)):
        if same[i, :i].any():
            label = printable(data.classes[int(truth.labels[i])].id)
            detail = f"{label} at {shown(truth.boxes[i].tolist())} is there twice"
            found.append(Note("duplicate-box", printable(str(image.path)), detail))
    return found


def tiny_notes(image: AnnotatedImage) -> list[Note]:
    """Each box with a side of fewer than TINY pixels."""
    sides = image.truth.boxes[:, 2:] - image.truth.boxes[:, :2]
    return [
        Note(
            "tiny-box",
            printable(str(image.path)),
            f"{width:g}×{height:g} pixels at {shown(image.truth.boxes[i].tolist())}",
        )
        for i, (width, height) in enumerate(sides.tolist())
        if min(width, height) < TINY
    ]


def shown(box: list[float]) -> str:
    return ", ".join(f"{value:g}" for value in box)
