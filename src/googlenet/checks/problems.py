"""A problem of a data set as a value, and the kinds that there are."""

from __future__ import annotations

from typing import NamedTuple

# Every kind, in the order of a report, with what it means.
KINDS = {
    "unusable": "training refuses this data",
    "unreadable": "cannot be read: left out, and named, by training, evaluation and prediction",
    "mislabelled": "the name tells of another format than the content",
    "unlabelled": "photos without a label: in no class folder or no row of the table",
    "unused": "files that are not read",
    "duplicate": "the same file as an earlier one",
    "near-duplicate": "looks like an earlier photo",
    "leakage": "a validation photo that is among the training photos too",
    "conflicting-labels": "there more than once, with different labels",
    "extreme-aspect": "much longer than wide: most of it lies outside of a square crop",
    "tiny": "too few pixels to show much",
    "missing-class": "a class without photos in a part of the data",
    "imbalance": "a class with far fewer training photos than the largest",
}


class Problem(NamedTuple):
    """One thing that is wrong with one file or class; a file may have several.

    path: a file or folder as the data names it, or a class; detail: one printable line.
    """

    path: str
    kind: str
    detail: str
