"""Which images a data set has, in which part and class, and which files belong to none."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from googlenet.checks.image_file import Source
from googlenet.checks.problems import Problem
from googlenet.data.account import canonical
from googlenet.data.csv_file import SPLITS, folder_tables, has_multilabel, read_any_table, split_of
from googlenet.data.dataset import DataSet, Samples
from googlenet.data.folder import (
    SYSTEM_FILES,
    TEST,
    TRAIN,
    VALIDATION,
    class_folders,
    enter_wrapper,
    find_split,
    is_hidden,
    is_image,
    list_images,
    plain_split,
    subfolders,
)
from googlenet.data.labels import DataError, split_labels
from googlenet.data.load_data import load_usable_data
from googlenet.data.shards.index import holds_shards
from googlenet.images.optional import INSTALL, needs_package
from googlenet.runtime.errors import printable


class Entry(NamedTuple):
    """An image of the data set; `split` is "train", "val" or "test".

    `multilabel`: its label can be that of multilabel classes, with bars between them, or of none.
    """

    source: Source
    name: str
    label: str
    split: str
    multilabel: bool = False

    @property
    def labels(self) -> list[str]:
        return split_labels(self.label) if self.multilabel else [self.label]


@dataclass
class Scan:
    """What a data set consists of: `entries`, the training images first.

    `has_split` tells whether the data brought its own split; `classes` also has those without
    images that were found.
    """

    name: str
    entries: list[Entry]
    classes: list[str]
    has_split: bool = True
    problems: list[Problem] = field(default_factory=list)


def scan(name: str, seed: int) -> Scan:
    """The images that training would use with that seed, and the files that it would not.

    Where training would refuse the data, that is a problem, and what can be found is listed
    nevertheless.  Raises UsageError for a name that is nothing, DataError where no image is found.
    """
    path = enter_wrapper(Path(name)) if Path(name).is_dir() else Path(name)
    is_table = bool(folder_tables(path)) if path.is_dir() else not holds_shards(path)
    try:
        found = scan_dataset(load_usable_data(name, seed))
    except DataError as error:
        found = scan_csv(path) if is_table else scan_folder(path)
        if not found.entries:
            raise
        found.problems.insert(0, Problem(name, "unusable", printable(str(error))))
    if path.is_dir() and not is_table:
        found.problems += stray_files(path, found)
    elif path.exists() and is_table:
        found.problems += unlisted_images(found)
    return found


def scan_dataset(data: DataSet) -> Scan:
    def part(samples: Samples, called: str) -> list[Entry]:
        return [
            Entry(source, samples.name(i), data.label(samples, i), called, data.multilabel)
            for i, source in enumerate(samples.sources)
        ]

    return Scan(
        data.name,
        part(data.train, "train") + part(data.val, "val") + part(data.test, "test"),
        [c.id for c in data.classes],
        data.has_split,
        # Folders that are not read are found with all other files.
        [
            Problem(note.subject, note.kind, printable(note.detail))
            for note in data.account.notes
            if note.kind != "unused"
        ],
    )


def scan_folder(root: Path) -> Scan:
    """A folder that training refuses: one class, other classes in validation, closed folders."""
    problems: list[Problem] = []

    def on_error(error: OSError) -> None:
        path = str(error.filename)
        problem = Problem(path, "unreadable", f"the folder cannot be listed ({error.strerror})")
        if problem not in problems:
            problems.append(problem)

    parts = {
        "train": find_split(root, TRAIN, on_error),
        "val": find_split(root, VALIDATION, on_error),
        "test": find_split(root, TEST, on_error),
    }
    if not any(parts.values()):
        parts["train"] = class_folders(root, on_error)
    entries = [
        Entry(path, str(path), label, part)
        for part, folders in parts.items()
        for label, paths in folders.items()
        for path in paths
    ]
    return Scan(printable(root.resolve().name), entries, labels_of(entries), problems=problems)


def scan_csv(path: Path) -> Scan:
    """A CSV file that training refuses: rows without a cell, unknown parts, other classes."""
    entries: dict[str, list[Entry]] = {split: [] for split in SPLITS}
    problems = []
    (rows, _), base = read_any_table(path)
    multilabel = has_multilabel(rows)
    for row in rows:
        image, label = row.image or base / row.values["path"], row.values["label"]
        if not row.values["path"]:
            problems.append(Problem(row.where, "unusable", "the row has no path"))
        elif not label and not multilabel:
            problems.append(Problem(str(image), "unlabelled", f"{row.where} has no label"))
        else:
            try:
                part = split_of(row)
            except DataError as error:
                problems.append(Problem(str(image), "unusable", str(error)))
                continue
            entries[part].append(Entry(image, str(image), label, part, multilabel))
    every = [entry for split in SPLITS for entry in entries[split]]
    return Scan(printable(path.name), every, labels_of(every), problems=problems)


def labels_of(entries: Iterable[Entry]) -> list[str]:
    return sorted({label for entry in entries for label in entry.labels})


def stray_files(root: Path, found: Scan) -> list[Problem]:
    """What lies in the folder but is not an image of the data set; hidden files do not count."""
    used = {entry.name for entry in found.entries}
    classes = {class_folder(root, entry) for entry in found.entries}
    bases = {folder[:-1] for folder in classes}  # the folders whose folders are classes
    problems: list[Problem] = []
    aside: Counter[Path] = Counter()
    for place, folders, files in os.walk(root):
        here = Path(place)
        inside = here.relative_to(root).parts
        in_class = inside[:1] in classes or inside[:2] in classes
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        problems += [
            Problem(str(here / name), "unused", "links to folders are not followed here")
            for name in folders
            if in_class and (here / name).is_symlink()
        ]
        for name in sorted(files):
            path = here / name
            if name.startswith(".") or name.lower() in SYSTEM_FILES or str(path) in used:
                continue
            if in_class:
                problems.append(Problem(str(path), "unused", why_unused(path)))
            elif is_image(name) and (not inside or inside in bases):
                problems.append(Problem(str(path), "unlabelled", "lies in no class folder"))
            elif is_image(name):
                aside[root / inside[0]] += 1
    for folder, count in aside.items():
        if class_folders(folder, ignore):
            problems.append(
                Problem(str(folder), "unused", f"{count} images of no split that is read")
            )
        else:
            problems.append(
                Problem(str(folder), "unlabelled", f"{count} images in no class folder")
            )
    return problems + empty_classes(root, found, bases)


def why_unused(path: Path) -> str:
    missing = needs_package([path.suffix.lower()])
    return f"to read it: {INSTALL}" if missing else "is not an image by its name"


def class_folder(root: Path, entry: Entry) -> tuple[str, ...]:
    """The folder, from the root, that gave an image its label: `cat`, or `train/cat`."""
    parts = Path(entry.name).relative_to(root).parts
    split = (
        plain_split(parts[0]) in TRAIN + VALIDATION + TEST
        and len(parts) > 2
        and canonical(parts[1]) == entry.label
    )
    return parts[: 2 if split else 1]


def empty_classes(root: Path, found: Scan, bases: set[tuple[str, ...]]) -> list[Problem]:
    """Class folders that hold no image at all, so that no class is made of them."""
    return [
        Problem(str(folder), "missing-class", "the folder holds no image: it makes no class")
        for base in sorted(bases)
        for folder in subfolders(root.joinpath(*base), ignore)
        if canonical(folder.name) not in found.classes and not list_images(folder, ignore)
    ]


def ignore(_: OSError) -> None:
    """A folder that cannot be listed has been reported where the images were."""


def unlisted_images(found: Scan) -> list[Problem]:
    """Images beside those of a table, in the same folders, that no row names."""
    used = {os.path.normpath(entry.name) for entry in found.entries}
    return [
        Problem(str(folder), "unlabelled", f"{count} images here are in no row of the table")
        for folder in sorted({Path(name).parent for name in used})
        if (count := unnamed(folder, used))
    ]


def unnamed(folder: Path, used: set[str]) -> int:
    try:
        names = [path for path in folder.iterdir() if is_image(path.name)]
    except OSError:  # not there: each of its images is reported
        return 0
    return sum(os.path.normpath(path) not in used for path in names)
