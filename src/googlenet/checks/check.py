"""The whole check of a data set: every image read once, then compared with the others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from googlenet.checks.image_file import ImageReport, examine, problems_of
from googlenet.checks.near_duplicates import near_duplicates
from googlenet.checks.problems import KINDS, Problem
from googlenet.checks.scan import Entry, Scan, scan
from googlenet.data.csv_file import SPLITS
from googlenet.runtime.errors import printable
from googlenet.runtime.prefetch import prefetch

IMBALANCE = 5  # the largest class has so many times the images of one that is named, or more


@dataclass(frozen=True)
class Check:
    """What was found: `images` images, readable or not, of `classes` classes, by part."""

    name: str
    images: int
    classes: int
    parts: dict[str, int]
    has_split: bool
    problems: list[Problem]

    def counts(self) -> dict[str, int]:
        """How many problems there are of each kind that was found."""
        found = Counter(problem.kind for problem in self.problems)
        return {kind: found[kind] for kind in KINDS if found[kind]}

    def to_json(self) -> dict[str, Any]:
        return {
            "data": self.name,
            "images": self.images,
            "classes": self.classes,
            "parts": self.parts,
            "counts": self.counts(),
            "problems": [problem._asdict() for problem in self.problems],
        }


def check_data(name: str, seed: int, workers: int, bar: Callable[[int, str], Any]) -> Check:
    """Examine a folder, a CSV file or a built-in set, as training with that seed would use it.

    bar: makes a progress bar for a number of images.  Raises UsageError for a name that is
    nothing, DataError where there is no image at all.
    """
    return check_scan(scan(name, seed), workers, bar)


def check_scan(found: Scan, workers: int, bar: Callable[[int, str], Any]) -> Check:
    """Examine the images of a scan, and compare them with each other."""
    entries = found.entries
    images = []
    with bar(len(entries), "reading images") as shown:
        for image in prefetch(examine, [entry.source for entry in entries], workers):
            images.append(image)
            shown.update()
    problems = list(found.problems)
    for entry, image in zip(entries, images, strict=True):
        problems += problems_of(entry.name, image)
    problems += copies(found, images) + balance(found, images)
    kinds = list(KINDS)
    problems.sort(key=lambda problem: kinds.index(problem.kind))  # stable: in the data's order
    parts = Counter(entry.split for entry in entries)
    return Check(
        found.name,
        len(entries),
        len(found.classes),
        {part: parts[part] for part in SPLITS if parts[part] or part != "test"},
        found.has_split,
        problems,
    )


# ---- the same image twice --------------------------------------------------------------------


@dataclass(frozen=True)
class DuplicatePair:
    """Entry `second` is the same image as entry `first`, an earlier one, as told by `how`."""

    first: int
    second: int
    similarity: float
    how: str


def copies(found: Scan, images: Sequence[ImageReport]) -> list[Problem]:
    """Duplicates, near-duplicates, and what follows where they have other parts or labels."""
    entries = found.entries
    problems = []
    exact, near = identical_files(entries, images), similar_images(entries, images)
    for kind, of_kind in (("duplicate", exact), ("near-duplicate", near)):
        for copy in best_per_image(of_kind):
            problems.append(Problem(entries[copy.second].name, kind, says(copy, entries)))
    everything = exact + near
    for copy in best_per_image(
        copy
        for copy in everything
        if entries[copy.first].split == "train" != entries[copy.second].split
    ):
        held = "" if found.has_split else "; random split"
        detail = f"{says(copy, entries)}, a training image{held}"
        problems.append(Problem(entries[copy.second].name, "leakage", detail))
    for copy in best_per_image(
        copy for copy in everything if entries[copy.first].label != entries[copy.second].label
    ):
        first, second = entries[copy.first], entries[copy.second]
        labels = f"labelled {printable(second.label)} here, {printable(first.label)} there"
        detail = f"{says(copy, entries)}: {labels}"
        problems.append(Problem(second.name, "conflicting-labels", detail))
    return problems


def says(copy: DuplicatePair, entries: Sequence[Entry]) -> str:
    return f"{copy.how} {printable(entries[copy.first].name)}"


def best_per_image(found: Iterable[DuplicatePair]) -> Iterator[DuplicatePair]:
    """Of each image the copy that is most similar, and of those the first."""
    best: dict[int, DuplicatePair] = {}
    for copy in found:
        known = best.get(copy.second)
        if known is None or (-copy.similarity, copy.first) < (-known.similarity, known.first):
            best[copy.second] = copy
    return (best[second] for second in sorted(best))


def identical_files(entries: Sequence[Entry], images: Sequence[ImageReport]) -> list[DuplicatePair]:
    """Files that are equal byte for byte: each with the first of every part and label."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for i, image in enumerate(images):
        if image.digest is not None:
            groups[image.digest].append(i)
    found = []
    for group in groups.values():
        firsts: dict[tuple[str, str], int] = {}
        for i in group:
            for first in firsts.values():
                twice = entries[first].name == entries[i].name
                how = "listed before, as" if twice else "the same file as"
                found.append(DuplicatePair(first, i, 2.0, how))
            firsts.setdefault((entries[i].split, entries[i].label), i)
    return found


def similar_images(entries: Sequence[Entry], images: Sequence[ImageReport]) -> list[DuplicatePair]:
    """Images that look alike and are not the same file."""
    seen: set[tuple[bytes, str, str]] = set()
    chosen: list[int] = []
    thumbnails: list[NDArray[np.uint8]] = []
    for i, (entry, image) in enumerate(zip(entries, images, strict=True)):
        if image.digest is None or image.thumbnail is None:
            continue
        key = (image.digest, entry.split, entry.label)
        if key not in seen:  # of a file that is there twice, one is enough
            seen.add(key)
            chosen.append(i)
            thumbnails.append(image.thumbnail)
    if not chosen:
        return []
    boundary = sum(entries[i].split == "train" for i in chosen)
    return [
        DuplicatePair(chosen[a], chosen[b], similarity, f"looks ({similarity:.2f} of 1) like")
        for a, b, similarity in near_duplicates(np.stack(thumbnails), boundary)
        if images[chosen[a]].digest != images[chosen[b]].digest
    ]


# ---- how many images the classes have --------------------------------------------------------


def balance(found: Scan, images: Sequence[ImageReport]) -> list[Problem]:
    """Classes that a part lacks, and classes with few training images; only readable ones count."""
    listed: Counter[tuple[str, str]] = Counter()
    readable: Counter[tuple[str, str]] = Counter()
    for entry, image in zip(found.entries, images, strict=True):
        for label in entry.labels:
            listed[entry.split, label] += 1
            readable[entry.split, label] += image.error is None
    parts = [part for part in ("train", "val") if any(p == part for p, _ in listed)]
    problems = []
    for part in parts:
        where = {"train": "training", "val": "validation"}[part]
        for label in found.classes:
            if not readable[part, label]:
                bad = listed[part, label]
                why = (
                    f"none of its {bad} {where} images can be read" if bad else f"no {where} image"
                )
                problems.append(Problem(label, "missing-class", why))
    sizes = {label: readable["train", label] for label in found.classes}
    largest = max(sizes, key=lambda label: sizes[label])
    for label, size in sizes.items():
        if 0 < size * IMBALANCE <= sizes[largest]:
            detail = f"{size} training images, {printable(largest)} has {sizes[largest]}"
            problems.append(Problem(label, "imbalance", detail))
    return problems
