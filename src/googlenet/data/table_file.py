"""A CSV file of photos: columns `path,label[,split]`, paths relative to the file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from googlenet.data.dataset import (
    Class,
    ClassIndex,
    DataError,
    DataSet,
    Samples,
    in_order,
    split,
)
from googlenet.data.folder import TRAIN, VALIDATION


def read_csv(path: Path, seed: int, classes: Sequence[Class] | None = None) -> DataSet:
    """The data set in a CSV file; with `classes`, labelled by that list and no other.

    A label is a class's id or name; if every label is an integer and no class is so called, it
    is an index.  Other columns are ignored.  Raises DataError, which names the line.
    """
    rows = read_rows(path)
    labels = [row["label"] for row in rows]
    chosen = tuple(classes) if classes else tuple(Class(n, n) for n in in_order(set(labels)))
    index = ClassIndex(chosen)
    find = index.at if index.are_indices(labels) else index.find
    numbered = [find(row["label"], f"{path} line {n}") for n, row in enumerate(rows, start=2)]
    photos = Samples(tuple(path.parent / row["path"] for row in rows), tuple(numbered))
    if "split" not in rows[0]:
        return split(DataSet(path.name, chosen, photos, Samples()), seed)
    train = [is_training(row["split"], f"{path} line {n}") for n, row in enumerate(rows, start=2)]
    return DataSet(
        path.name,
        chosen,
        photos.take([i for i, trains in enumerate(train) if trains]),
        photos.take([i for i, trains in enumerate(train) if not trains]),
    )


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows as {column: value}.  Raises DataError for a file that is no such table."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, restkey="", restval="", strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV ({error})") from error
    if not rows:
        raise DataError(f"{path}: a data file must have a header and a row or more, has none")
    missing = {"path", "label"} - set(rows[0])
    if missing:
        raise DataError(
            f"{path}: a data file must have the columns path and label, "
            f"has {', '.join(filter(None, rows[0]))}"
        )
    for line, row in enumerate(rows, start=2):
        if not row["path"] or not row["label"]:
            raise DataError(f"{path} line {line}: path and label must not be empty")
    return rows


def is_training(value: str, where: str) -> bool:
    if value in TRAIN or value in VALIDATION:
        return value in TRAIN
    raise DataError(f"{where}: split must be one of {', '.join(TRAIN + VALIDATION)}, got {value!r}")
