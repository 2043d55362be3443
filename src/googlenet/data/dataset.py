"""Labeled images as values: samples, and a data set of them in splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from googlenet.data.account import Account, has_measurements
from googlenet.data.labels import Class, DataError, join_labels
from googlenet.data.shards.sources import ShardSources
from googlenet.images.archived import ArchivedImage
from googlenet.runtime.errors import printable

UNREMARKABLE = Account()
# How images are held out: each by its own name, or (before 2026-12) by its place among all.
SPLIT_RULES = ("image", "order")


@dataclass(frozen=True)
class Samples:
    """Images and their labels: `sources[i]` is a path, an array or a place in a shard,
    `labels[i]` a class index.

    Of images with several labels each, `multi_hot` (images, classes) says which class each has, and
    `labels` is empty.
    """

    sources: tuple[Path | NDArray[np.uint8] | ArchivedImage, ...] | ShardSources = ()
    labels: tuple[int, ...] = ()
    multi_hot: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.sources)

    def take(self, indices: Sequence[int]) -> Samples:
        sources = (
            self.sources.take(indices)
            if isinstance(self.sources, ShardSources)
            else tuple(self.sources[i] for i in indices)
        )
        if self.multi_hot is not None:
            return Samples(sources, (), self.multi_hot[list(indices)])
        return Samples(sources, tuple(self.labels[i] for i in indices))

    def targets(self, indices: Sequence[int]) -> NDArray[np.int64 | np.float32]:
        """What to learn of these images: (n,) class indices, or (n, classes) of 0 and 1."""
        found = self.labels_of(indices)
        return found.astype(np.float32 if found.dtype == np.bool_ else np.int64)

    def labels_of(self, indices: Sequence[int]) -> NDArray[np.int64 | np.bool_]:
        """The labels of these images: (n,) class indices, or (n, classes) bool."""
        if self.multi_hot is not None:
            return self.multi_hot[list(indices)]
        return np.array([self.labels[i] for i in indices], np.int64)

    def classes_of(self, index: int) -> list[int]:
        """The class indices of an image: one, or with several labels per image any number."""
        if self.multi_hot is not None:
            return [int(c) for c in np.flatnonzero(self.multi_hot[index])]
        return [self.labels[index]]

    def name(self, index: int) -> str:
        """What to call a sample in a message or a table."""
        source = self.sources[index]
        return f"#{index}" if isinstance(source, np.ndarray) else str(source)


@dataclass(frozen=True)
class DataSet:
    """A data set with its class list, split into what trains and what validates.

    `has_split` tells whether the data brought its own split (False: `split` made one).  `test` is
    never used in training; `val_is_test`: the test split is the only validation split.
    """

    name: str
    classes: tuple[Class, ...]
    train: Samples
    val: Samples
    has_split: bool = True
    account: Account = UNREMARKABLE
    test: Samples = Samples()
    val_is_test: bool = False

    def __post_init__(self) -> None:
        least = 1 if self.multilabel else 2  # an image can have a label or not
        if len(self.classes) < least:
            found = ", ".join(printable(c.id) for c in self.classes) or "none"
            fewest = ("a class", "two classes")[least - 1]
            raise DataError(f"{self.name}: a data set must have {fewest} or more, has {found}")

    @property
    def multilabel(self) -> bool:
        """Whether an image can have several labels, or none."""
        return self.train.multi_hot is not None

    def unusable(self) -> str:
        """Why training rejects this data, in words; "" if it does not."""
        if len(self.train) and len(self.val):
            return ""
        why = ""
        if self.has_split:
            why = ": one of the splits is empty"
        elif len(self.train) == len(self.classes) and not self.multilabel:
            why = (
                ": each class has a single image, which is for training, and nothing is left to "
                "validate on: add images, or a validation split of your own"
            )
        if has_measurements([c.id for c in self.classes]):
            shown = ", ".join(c.id for c in self.classes[:3])
            why += (
                f"; the labels look like measurements ({shown}, …), and each is a class here: "
                "group them into classes (this is not a regression)"
            )
        return (
            f"{self.name}: needs training and validation images, got "
            f"{len(self.train)} and {len(self.val)}{why}"
        )

    @property
    def all(self) -> Samples:
        """Training and validation images."""
        return join_samples(self.train, self.val)

    def label(self, samples: Samples, index: int) -> str:
        """The label of a sample: a class's id, or several with bars between them."""
        names = [self.classes[c].id for c in samples.classes_of(index)]
        return join_labels(names) if self.multilabel else names[0]

    def fingerprint(self) -> str:
        """A short hash of the samples' names and classes, the same wherever the folder lies."""
        everything = self.all
        lines = sorted(
            f"{Path(everything.name(i)).name} {self.label(everything, i)}"
            for i in range(len(everything))
        )
        # A file's name may hold bytes that are not text; they are hashed as they are.
        names = "\n".join(lines).encode(errors="surrogateescape")
        return sha256(names).hexdigest()[:16]

    def order_hash(self) -> str:
        """A short hash of which image is where: names and labels, in order, of either part.

        Random choices go by a sample's index, so a run can only go on with the same order.
        """
        found = sha256()
        for samples in (self.train, self.val):
            for i in range(len(samples)):
                labels = " ".join(map(str, samples.classes_of(i)))
                line = f"{Path(samples.name(i)).name}\n{labels}\n"
                found.update(line.encode(errors="surrogateescape"))
            found.update(b"\n")
        return found.hexdigest()[:16]

    def describe(self) -> str:
        return (
            f"{self.name}: {len(self.classes)} classes, {len(self.train):,} training / "
            f"{len(self.val):,} validation images"
            + ("" if self.has_split else " (random split)")
            + (", multilabel" if self.multilabel else "")
            + (f"; {len(self.test):,} test images are left out" if len(self.test) else "")
            + ("; the test split validates" if self.val_is_test else "")
        )


def join_samples(first: Samples, second: Samples) -> Samples:
    if not len(second):
        return first
    sources = (*first.sources, *second.sources)
    if first.multi_hot is not None and second.multi_hot is not None:
        return Samples(sources, (), np.concatenate([first.multi_hot, second.multi_hot]))
    return Samples(sources, first.labels + second.labels)


def as_multilabel(data: DataSet) -> DataSet:
    """The data set as one whose images can have several labels, though each has one."""

    def marked(samples: Samples) -> Samples:
        multi_hot = np.zeros((len(samples), len(data.classes)), bool)
        multi_hot[np.arange(len(samples)), np.array(samples.labels, np.int64)] = True
        return Samples(samples.sources, (), multi_hot)

    if data.multilabel:
        return data
    train, val, test = map(marked, (data.train, data.val, data.test))
    return replace(data, train=train, val=val, test=test)
