"""A table of images: columns `path,label[,split]`, paths relative to the file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from googlenet.data.account import (
    Account,
    Note,
    canonical,
    decimal_labels,
    lookalikes,
)
from googlenet.data.dataset import DataSet, Samples
from googlenet.data.folder import TEST, TRAIN, VALIDATION, plain_split, split_folders
from googlenet.data.labels import (
    LABEL_SEPARATOR,
    Class,
    ClassIndex,
    DataError,
    class_from_label,
    sort_labels,
    split_labels,
)
from googlenet.data.split import random_split
from googlenet.data.table_file import Row, Table, read_table
from googlenet.runtime.errors import printable

SPLITS = ("train", "val", "test")
SPLIT_NAMES = (TRAIN, VALIDATION, TEST)


def read_csv(
    path: Path,
    seed: int | None,
    classes: Sequence[Class] | None = None,
    multilabel: bool | None = None,
    legacy: bool = False,
) -> DataSet:
    """The data set in a CSV file; with `classes`, labelled by that list and no other.

    A label is a class's id or name; if every label is an integer and no class is so called, it
    is an index.  A bar parts the labels of an image that has several ("a|b"; "\\|" is a bar in a
    name), and where any label has one, every image can have several, or with an empty label
    none.  `multilabel` says so of any file; if it is False, such a label is an error.  Others
    are ignored.  legacy: for a model made before 2026-12, test rows validate and an image may have
    several rows.  Raises DataError, which names the line.
    """
    (rows, how), base = read_any_table(path)
    multilabel = multilabel if multilabel is not None else has_multilabel(rows)
    labels = [[*map(canonical, labels_of(row, multilabel))] for row in rows]
    splits = [split_of(row) for row in rows]
    repeated: list[Note] = []
    if not legacy:
        kept, splits, repeated = once_per_image(rows, labels, splits, base)
        rows, labels = [rows[i] for i in kept], [labels[i] for i in kept]
    val_is_test = "test" in splits and (legacy or "val" not in splits)
    if val_is_test:
        splits = ["val" if split == "test" else split for split in splits]
    # The class list is the training rows'; validation may lack a class but bring none.
    own = {label for row, s in zip(labels, splits, strict=True) if s == "train" for label in row}
    every = [label for row in labels for label in row]
    chosen = tuple(classes or map(class_from_label, sort_labels(own or set(every))))
    index = ClassIndex(chosen)
    as_indices = index.are_indices(every)
    find = index.at if as_indices else index.find
    notes = (
        repeated
        + lookalikes(set(every))
        + decimal_labels(set(every), printable(str(path)))
        + [index.index_note(printable(str(path)))] * as_indices
    )
    found = [[find(name, r.where) for name in names] for r, names in zip(rows, labels, strict=True)]
    sources = tuple(row.image or base / row.values["path"] for row in rows)
    if multilabel:
        marks = np.zeros((len(rows), len(chosen)), bool)
        for at, indices in enumerate(found):
            marks[at, indices] = True
        images = Samples(sources, (), marks)
    else:
        images = Samples(sources, tuple(only for (only,) in found))
    train, val, test = (
        images.take([i for i, split in enumerate(splits) if split == part]) for part in SPLITS
    )
    data = DataSet(
        printable(path.resolve().name),
        chosen,
        train,
        val,
        account=Account(notes=tuple(notes), table=how),
        test=test,
        val_is_test=val_is_test,
    )
    return data if len(val) else random_split(data, seed, base)


def once_per_image(
    rows: Sequence[Row], labels: Sequence[Sequence[str]], splits: Sequence[str], base: Path
) -> tuple[list[int], list[str], list[Note]]:
    """The first row of every image, their splits, and what to say of other rows.

    An image in several splits is in the first of train, val and test.

    Raises DataError, which names the lines, for an image with different labels.
    """
    first: dict[str, int] = {}
    crossed = 0
    splits = list(splits)
    for i, row in enumerate(rows):
        path = os.path.abspath(base / row.values["path"])  # noqa: PTH100
        at = first.setdefault(path, i)
        if set(labels[at]) != set(labels[i]):
            called = printable(os.path.normpath(row.values["path"]))
            one, two = (printable(repr(rows[k].values["label"])) for k in (at, i))
            raise DataError(
                f"{rows[at].where} and line {row.where.rsplit(' ', 1)[1]}: {called} has "
                f"two labels, {one} and {two}; several labels per image stand in one cell, as a|b"
            )
        crossed += splits[at] != splits[i]
        splits[at] = min(splits[at], splits[i], key=SPLITS.index)
    kept = sorted(first.values())
    count = len(rows) - len(kept)
    detail = f"{count:,} rows name an image again: each image counts once"
    if crossed:
        detail += f"; {crossed:,} of them in another split: it is in train, then val, then test"
    notes = [Note("duplicate", rows[0].where.rsplit(" line ", 1)[0], detail)] if count else []
    return kept, [splits[i] for i in kept], notes


def has_multilabel(rows: Iterable[Row]) -> bool:
    """Whether any label says by a bar that an image can have several."""
    return any(LABEL_SEPARATOR.search(row.values["label"]) for row in rows)


def labels_of(row: Row, multilabel: bool) -> list[str]:
    """The labels of a row.  Raises DataError where it has more or fewer than it may."""
    label = row.values["label"]
    if not row.values["path"] or not (label or multilabel):
        raise DataError(f"{row.where}: path and label must not be empty")
    labels = split_labels(label)
    if not all(labels):
        raise DataError(f"{row.where}: a label must not be empty between bars, got {label!r}")
    if not multilabel and len(labels) > 1:
        raise DataError(f"{row.where}: an image must have one label, got {label!r}")
    return labels


def folder_tables(root: Path) -> list[tuple[Path, str]]:
    """The tables of a folder and their splits, "" where the table has its own: as Hugging Face
    lays them out, `metadata` beside the images, or Parquet files with the images inside.
    """
    found = [(path, "") for path in metadata_in(root)]
    if found:
        return found
    for split, names in zip(SPLITS, SPLIT_NAMES, strict=True):
        found += [(path, split) for f in split_folders(root, names)[:1] for path in metadata_in(f)]
    if found:
        return found
    parquet = sorted(p for f in (root, root / "data") for p in f.glob("*.parquet"))
    return [(path, split_in(path.stem)) for path in parquet]


def metadata_in(folder: Path) -> list[Path]:
    """The metadata file with labels, if the folder has one."""
    for suffix in ("csv", "jsonl", "parquet"):
        path = folder / f"metadata.{suffix}"
        if path.is_file():
            try:
                read_table(path)
            except DataError:  # of something else: the folders are the classes
                continue
            return [path]
    return []


def split_in(stem: str) -> str:
    """The split that a word of a file's name tells, "train" if none does."""
    for word in re.split(r"[^a-z]+", stem.lower()):
        for split, names in zip(SPLITS, SPLIT_NAMES, strict=True):
            if word in names:
                return split
    return "train"


def read_folder_table(root: Path) -> Table:
    """The tables of a folder as one, with paths relative to it."""
    rows: list[Row] = []
    how = []
    for path, split in folder_tables(root):
        table = read_table(path)
        folder = path.parent.relative_to(root)
        how.append(f"{path.relative_to(root)}" + f" ({table.how})" * bool(table.how))
        for row in table.rows:
            place = f"{path.name}/" if row.image else ""
            values = {**row.values, "path": str(folder / place / row.values["path"])}
            rows.append(row._replace(values=values | ({"split": split} if split else {})))
    return Table(rows, "the table " + ", ".join(how[:3]) + ", …" * (len(how) > 3))


def read_any_table(path: Path) -> tuple[Table, Path]:
    """The table in a file or folder, and the folder that its paths are relative to."""
    return (read_folder_table(path), path) if path.is_dir() else (read_table(path), path.parent)


def split_of(row: Row) -> str:
    """The row's split, one of SPLITS.  Raises DataError, which names the line, for another."""
    value = row.values.get("split", "train")
    for split, names in zip(SPLITS, SPLIT_NAMES, strict=True):
        if plain_split(value) in names:
            return split
    known = ", ".join(name for names in SPLIT_NAMES for name in names)
    raise DataError(f"{row.where}: split must be one of {known}, got {value!r}")
