"""Annotated images as values: what every format of boxes becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from googlenet.data.account import Account
from googlenet.data.labels import Class

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Truth:
    """The true boxes of an image.

    boxes: (N, 4) float32, as in `boxes.py`, in the pixels of the upright image.  labels: (N,)
    class indices.  difficult, crowd: (N,) bool; such boxes are neither learned from nor, by the
    rules of VOC and COCO, held against a detector.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    difficult: NDArray[np.bool_]
    crowd: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def of(
        cls,
        boxes: Sequence[Sequence[float]] = (),
        labels: Sequence[int] = (),
        difficult: Sequence[bool] | None = None,
        crowd: Sequence[bool] | None = None,
    ) -> Truth:
        no = [False] * len(labels)
        return cls(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array(labels, np.int64),
            np.array(no if difficult is None else difficult, np.bool_),
            np.array(no if crowd is None else crowd, np.bool_),
        )

    def take(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Truth:
        return Truth(self.boxes[keep], self.labels[keep], self.difficult[keep], self.crowd[keep])


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and its true boxes.  width, height: of the upright image, in pixels."""

    path: Path
    width: int
    height: int
    truth: Truth


@dataclass(frozen=True)
class BoxDataSet:
    """Annotated images in splits, and their classes.

    has_split: whether the data brought its own split (False: one was drawn).  account: how the
    data was read, and each annotation that was left out, as notes.
    """

    name: str
    classes: tuple[Class, ...]
    train: tuple[AnnotatedImage, ...] = ()
    val: tuple[AnnotatedImage, ...] = ()
    test: tuple[AnnotatedImage, ...] = ()
    has_split: bool = True
    account: Account = field(default_factory=Account)

    def images(self, split: str) -> tuple[AnnotatedImage, ...]:
        """The images of a split: "train", "val", "test" or "all"."""
        if split == "all":
            return (*self.train, *self.val, *self.test)
        return {"train": self.train, "val": self.val, "test": self.test}[split]

    def describe(self) -> str:
        count = sum(len(image.truth) for image in self.images("all"))
        parts = f"{len(self.train):,} training / {len(self.val):,} validation images"
        tested = f"; {len(self.test):,} test images" if self.test else ""
        drawn = "" if self.has_split else " (random split)"
        return f"{self.name}: {len(self.classes)} classes, {count:,} boxes, {parts}{tested}{drawn}"
