"""Labelled photos as values: classes, samples, splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from googlenet.data.shards import PackedSources
from googlenet.errors import GoogLeNetError, printable
from googlenet.images.stored import StoredPhoto

VALIDATION_SHARE = 0.2  # held out of each class where the data has no split of its own


class DataError(GoogLeNetError):
    """A data set that cannot be used; the message names the file and the rule."""


class Class(NamedTuple):
    """A label: `id` is a wnid or a folder's name, `name` is what to call it."""

    id: str
    name: str


def class_called(label: str) -> Class:
    """The class of a label that has no other name; what cannot be printed is escaped in it."""
    return Class(label, printable(label))


@dataclass(frozen=True)
class Samples:
    """Photos and their labels: `sources[i]` is a path, an array or a place in a shard,
    `labels[i]` a class index."""

    sources: tuple[Path | NDArray[np.uint8] | StoredPhoto, ...] | PackedSources = ()
    labels: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.sources)

    def take(self, indices: Sequence[int]) -> Samples:
        labels = tuple(self.labels[i] for i in indices)
        if isinstance(self.sources, PackedSources):
            return Samples(self.sources.take(indices), labels)
        return Samples(tuple(self.sources[i] for i in indices), labels)

    def name(self, index: int) -> str:
        """What to call a sample in a message or a table."""
        source = self.sources[index]
        return f"#{index}" if isinstance(source, np.ndarray) else str(source)


@dataclass(frozen=True)
class DataSet:
    """A data set with its class list, split into what trains and what validates.

    `divided` tells whether the data brought its own split (False: `split` made one).
    """

    name: str
    classes: tuple[Class, ...]
    train: Samples
    val: Samples
    divided: bool = True

    def __post_init__(self) -> None:
        if len(self.classes) < 2:
            found = ", ".join(printable(c.id) for c in self.classes) or "none"
            raise DataError(f"{self.name}: a data set must have two classes or more, has {found}")

    @property
    def all(self) -> Samples:
        if not len(self.val):
            return self.train
        return Samples(
            (*self.train.sources, *self.val.sources), self.train.labels + self.val.labels
        )

    def fingerprint(self) -> str:
        """A short hash of the samples' names and classes, the same wherever the folder lies."""
        everything = self.all
        lines = sorted(
            f"{Path(everything.name(i)).name} {self.classes[label].id}"
            for i, label in enumerate(everything.labels)
        )
        # A file's name may hold bytes that are no text; they count as they are.
        names = "\n".join(lines).encode(errors="surrogateescape")
        return sha256(names).hexdigest()[:16]

    def order(self) -> str:
        """A short hash of which photo is where: names and labels, in order, of either part.

        Random choices go by a sample's index, so a run can only go on with the same order.
        """
        found = sha256()
        for samples in (self.train, self.val):
            for i, label in enumerate(samples.labels):
                line = f"{Path(samples.name(i)).name}\n{label}\n"
                found.update(line.encode(errors="surrogateescape"))
            found.update(b"\n")
        return found.hexdigest()[:16]

    def describe(self) -> str:
        return (
            f"{self.name}: {len(self.classes)} classes, {len(self.train)} photos to train on, "
            f"{len(self.val)} to validate on" + ("" if self.divided else " (held out by the seed)")
        )


def split(data: DataSet, seed: int | None, share: float = VALIDATION_SHARE) -> DataSet:
    """Hold `share` of every class out for validation, chosen by the seed; nothing without one.

    A class of a single photo keeps it for training.
    """
    if seed is None:
        return replace(data, train=data.all, val=Samples(), divided=False)
    everything = data.all
    rng = np.random.default_rng((seed, 0))
    by_class: list[list[int]] = [[] for _ in data.classes]
    for i, label in enumerate(everything.labels):
        by_class[label].append(i)
    held: set[int] = set()
    for members in by_class:
        count = min(len(members) - 1, max(1, round(share * len(members))))
        held.update(int(i) for i in rng.permutation(members)[: max(0, count)])
    kept = [i for i in range(len(everything)) if i not in held]
    return replace(
        data, train=everything.take(kept), val=everything.take(sorted(held)), divided=False
    )


class ClassIndex:
    """Finds the class that a label names: by id, by name, or by index."""

    def __init__(self, classes: Sequence[Class]) -> None:
        self.classes = tuple(classes)
        # Two of ImageNet's classes are called "crane": such a name says nothing.
        calls = Counter(c.name for c in classes)
        self.by_name = {c.name: i for i, c in enumerate(classes) if calls[c.name] == 1}
        self.by_name |= {c.id: i for i, c in enumerate(classes)}

    def find(self, label: str, where: str) -> int:
        """The index of the class with that id or name.  Raises DataError, which says `where`."""
        try:
            return self.by_name[label]
        except KeyError:
            known = ", ".join(printable(c.id) for c in self.classes[:5])
            more = ", …" if len(self.classes) > 5 else ""
            raise DataError(
                f"{where}: label must be one of the {len(self.classes)} classes ({known}{more}), "
                f"got {label!r}"
            ) from None

    def are_indices(self, labels: Sequence[str]) -> bool:
        """Whether the labels are class indices: all integers, and no class is so called."""
        return all(is_index(label) for label in labels) and not any(
            label in self.by_name for label in labels
        )

    def at(self, label: str, where: str) -> int:
        """The class index that a label is.  Raises DataError where there is no such class."""
        index = int(label)
        if index >= len(self.classes):
            raise DataError(
                f"{where}: label must be below the number of classes, "
                f"{len(self.classes)}, got {index}"
            )
        return index


def is_index(label: str) -> bool:
    # `int` refuses thousands of digits; so many are no number of a class.
    return label.isascii() and label.isdigit() and len(label) < 19


def in_order(labels: set[str]) -> list[str]:
    """Labels as a class list: by number if all are numbers, by name otherwise."""
    if all(is_index(label) for label in labels):
        return sorted(labels, key=lambda label: (int(label), label))
    return sorted(labels)
