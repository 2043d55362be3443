"""Labelled images as values: classes, samples, splits."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b, sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from googlenet.data.account import Account, Note, canonical, has_measurements
from googlenet.data.shards.sources import ShardSources
from googlenet.images.archived import ArchivedImage
from googlenet.runtime.errors import GoogLeNetError, printable

LABEL_SEPARATOR = re.compile(r"(?<!\\)\|")  # parts labels, unless a backslash stands before it
UNREMARKABLE = Account()
VALIDATION_FRACTION = 0.2  # held out of each class where the data has no split of its own
MIN_FRACTION, MAX_FRACTION = 0.1, 0.3  # of a class, whatever its images' hashes
# How images are held out: each by its own name, or (before 2026-12) by its place among all.
SPLIT_RULES = ("image", "order")


class DataError(GoogLeNetError):
    """A data set that cannot be used; the message names the file and the rule."""


class Class(NamedTuple):
    """A label: `id` is a wnid or a folder's name, `name` is what to call it."""

    id: str
    name: str


def class_from_label(label: str) -> Class:
    """The class of a label that has no other name; what cannot be printed is escaped in it."""
    label = canonical(label)
    return Class(label, printable(label))


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


def random_split(
    data: DataSet, seed: int | None, root: Path = Path(), rule: str = "image"
) -> DataSet:
    """Hold a fifth of every class out for validation, chosen by the seed; nothing without one.

    A class of a single image keeps it for training.  An image of several classes counts for the
    rarest of them, one without any for a class of its own.  `root`: what the images' names are
    relative to.  `rule` is one of SPLIT_RULES; arrays have no names and are held out by order.
    """
    if seed is None:
        return replace(data, train=data.all, val=Samples(), has_split=False)
    everything = data.all
    by_class: list[list[int]] = [[] for _ in range(len(data.classes) + data.multilabel)]
    for i, label in enumerate(
        rarest(everything.multi_hot) if data.multilabel else everything.labels
    ):
        by_class[label].append(i)
    count = len(everything)
    if rule == "order" or not count or is_nameless(everything.sources[0]):
        held = held_by_order(by_class, seed)
    else:
        keys = [image_key(data, everything, i, root) for i in range(count)]
        held = held_by_name(by_class, keys, seed)
    kept = [i for i in range(count) if i not in held]
    return replace(
        data, train=everything.take(kept), val=everything.take(sorted(held)), has_split=False
    )


def held_by_order(by_class: Sequence[Sequence[int]], seed: int) -> set[int]:
    """Exactly a fifth of every class, drawn anew when an image is added to the data."""
    rng = np.random.default_rng((seed, 0))
    held: set[int] = set()
    for members in by_class:
        count = min(len(members) - 1, max(1, round(VALIDATION_FRACTION * len(members))))
        held.update(int(i) for i in rng.permutation(members)[: max(0, count)])
    return held


def held_by_name(by_class: Sequence[Sequence[int]], keys: Sequence[str], seed: int) -> set[int]:
    """The images whose own hash is in the first fifth of all hashes, whatever else is there.

    Of a class with too few or too many of these, the images of the smallest hashes: at least
    one is held out and one kept, and 10 to 30 %.
    """
    salt = seed.to_bytes(8, "little")
    held: set[int] = set()
    for members in by_class:
        hashes = sorted(
            (blake2b(keys[i].encode(errors="surrogateescape"), key=salt, digest_size=8).digest(), i)
            for i in members
        )
        size, limit = len(members), round(VALIDATION_FRACTION * 2**64).to_bytes(8, "big")
        below = sum(digest < limit for digest, _ in hashes)
        fewest, most = max(1, round(MIN_FRACTION * size)), max(1, int(MAX_FRACTION * size))
        count = min(max(below, fewest), most, size - 1)
        held.update(i for _, i in hashes[: max(0, count)])
    return held


def is_nameless(source: Path | NDArray[np.uint8] | ArchivedImage) -> bool:
    """Whether an image is an array, or was one before it was packed: its name is a number."""
    if isinstance(source, ArchivedImage):
        return re.fullmatch(r"#\d+", source.name) is not None
    return isinstance(source, np.ndarray)


def image_key(data: DataSet, samples: Samples, index: int, root: Path) -> str:
    """What an image is called: its class and its path within that, in all layouts alike."""
    source = samples.sources[index]
    if isinstance(source, Path):
        name = os.path.normpath(source).removeprefix(os.path.join(os.path.normpath(root), ""))  # noqa: PTH118
    else:
        name = source.name if isinstance(source, ArchivedImage) else f"#{index}"
    *folders, file = map(canonical, name.replace(os.sep, "/").split("/"))
    label = data.label(samples, index)
    if label in folders:
        folders = folders[len(folders) - folders[::-1].index(label) :]
    return "/".join([label, *folders, file])


def rarest(multi_hot: NDArray[np.bool_] | None) -> list[int]:
    """The rarest class of each image; of an image without a class, the number of classes."""
    assert multi_hot is not None
    order = np.argsort(multi_hot.sum(0), kind="stable")
    first = multi_hot[:, order].argmax(1)
    return np.where(multi_hot.any(1), order[first], multi_hot.shape[1]).tolist()  # type: ignore[no-any-return]


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


def split_labels(label: str) -> list[str]:
    """The labels that one is made of: "a|b" of a and b, "" of none; "\\|" is a bar in a name."""
    if not label:
        return []
    parts = LABEL_SEPARATOR.split(label)
    if len(parts) > 1:  # people write a space beside the bar
        parts = [part.strip() for part in parts]
    return [part.replace("\\|", "|") for part in parts]


def join_labels(labels: Iterable[str]) -> str:
    """The label that `split_labels` takes apart again."""
    return "|".join(label.replace("|", "\\|") for label in labels)


class ClassIndex:
    """Finds the class that a label names: by id, by name, or by index."""

    def __init__(self, classes: Sequence[Class]) -> None:
        self.classes = tuple(classes)
        # Two of ImageNet's classes are called "crane": such a name says nothing.
        calls = Counter(c.name for c in classes)
        self.by_name = {canonical(c.name): i for i, c in enumerate(classes) if calls[c.name] == 1}
        self.by_name |= {canonical(c.id): i for i, c in enumerate(classes)}
        # A table that a spreadsheet wrote says 1 of the class 001.
        numbers = Counter(int(c.id) for c in classes if is_index(c.id))
        self.by_number = {
            int(c.id): i
            for i, c in enumerate(classes)
            if is_index(c.id) and numbers[int(c.id)] == 1
        }

    def has(self, label: str) -> bool:
        """Whether a class has that id or name."""
        return self.get(label) is not None

    def get(self, label: str) -> int | None:
        name = canonical(label)
        if name in self.by_name:
            return self.by_name[name]
        return self.by_number.get(int(name)) if is_index(name) else None

    def find(self, label: str, where: str) -> int:
        """The index of the class with that id or name.  Raises DataError, which says `where`."""
        found = self.get(label)
        if found is not None:
            return found
        known = ", ".join(printable(c.id) for c in self.classes[:5])
        more = ", …" if len(self.classes) > 5 else ""
        raise DataError(
            f"{where}: label must be one of the {len(self.classes)} classes ({known}{more}), "
            f"got {label!r}"
        )

    def are_indices(self, labels: Sequence[str]) -> bool:
        """Whether the labels are class indices: all integers, and no class is called by one.

        Where any class is, an integer is the name of a class and never an index beside it.
        """
        return all(is_index(label) for label in labels) and not (
            self.by_number or any(label in self.by_name for label in labels)
        )

    def index_note(self, where: str) -> Note:
        """What to say where labels are read as indices."""
        examples = ", ".join(f"{i} is {c.id}" for i, c in enumerate(self.classes[:3]))
        return Note("integer-labels", where, f"labels are read as class indices: {examples}, …")

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
    # `int` refuses thousands of digits; a class index never has that many.
    return label.isascii() and label.isdigit() and len(label) < 19


def sort_labels(labels: set[str]) -> list[str]:
    """Labels as a class list: by number if all are numbers, by name otherwise."""
    if all(is_index(label) for label in labels):
        return sorted(labels, key=lambda label: (int(label), label))
    return sorted(labels)
