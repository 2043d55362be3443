"""The kinds of problems that a data set can have, and one problem."""

from __future__ import annotations

from typing import NamedTuple

# Every kind with its description, in the order of a report.
KINDS = {
    "unusable": "training rejects this data",
    "unreadable": "skipped, with a message, by training, evaluation and prediction",
    "mislabelled": "the file name has the wrong extension for the content",
    "unlabelled": "images without a label: in no class folder or no row of the CSV file",
    "unused": "files that are not read",
    "dropped": "images in shards that the naming convention leaves out",
    "duplicate": "identical to an earlier file",
    "near-duplicate": "looks like an earlier image",
    "leakage": "a validation image that is among the training images, too",
    "conflicting-labels": "the same image with different labels",
    "extreme-aspect": "so elongated that a square crop misses most of it",
    "tiny": "very few pixels",
    "dark": "nearly black: of more than 8 bits per sample the upper eight are kept",
    "missing-class": "a class without images in one of the splits",
    "layout": "the folders can be read in more than one way",
    "lookalike-classes": "class names that differ only by case or invisible characters",
    "integer-labels": "labels that are read as class indices",
    "decimal-labels": "class names that are decimal numbers",
    "imbalance": "a class with far fewer training images than the largest",
    # Of annotated images.
    "missing-image": "annotations whose image is not there",
    "bad-annotation": "annotations that cannot be read",
    "unknown-class": "boxes of a class that is not in the list",
    "inverted-box": "boxes whose second corner is above or left of the first",
    "empty-box": "boxes without width or height",
    "outside-box": "boxes outside the image, or cut off at its edge",
    "duplicate-box": "boxes of the same class in the same place",
    "tiny-box": "boxes of very few pixels",
    "no-boxes": "images without boxes: all of each is background",
    "relative-boxes": "shares of the sides where the format has pixels",
    "zero-based": "pixels counted from 0 where the format counts from 1",
    "one-based": "pixels counted from 1 where the format counts from 0",
}


class Problem(NamedTuple):
    """One problem of one file or class; a file may have several.

    path: a file or folder as the data names it, or a class.  detail: one printable line.
    """

    path: str
    kind: str
    detail: str
