"""Labels: which class one names, and several in one cell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from googlenet.data.account import Note, canonical
from googlenet.runtime.errors import GoogLeNetError, printable

LABEL_SEPARATOR = re.compile(r"(?<!\\)\|")  # parts labels, unless a backslash stands before it


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
