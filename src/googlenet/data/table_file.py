"""A CSV file of photos: columns `path,label[,split]`, paths relative to the file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from googlenet.data.dataset import (
    Class,
    ClassIndex,
    DataError,
    DataSet,
    Samples,
    class_called,
    in_order,
    split,
)
from googlenet.data.folder import TRAIN, VALIDATION
from googlenet.errors import printable


def read_csv(path: Path, seed: int | None, classes: Sequence[Class] | None = None) -> DataSet:
    """The data set in a CSV file; with `classes`, labelled by that list and no other.

    A label is a class's id or name; if every label is an integer and no class is so called, it
    is an index.  Other columns are ignored.  Raises DataError, which names the line.
    """
    rows = read_rows(path)
    for row in rows:
        require_cells(row)
    labels = [row.values["label"] for row in rows]
    trains = [is_training(row.values.get("split", "train"), row.where) for row in rows]
    # The class list is the training rows'; validation may lack a class but bring none.
    own = {label for label, train in zip(labels, trains, strict=True) if train} or set(labels)
    chosen = tuple(classes) if classes else tuple(map(class_called, in_order(own)))
    index = ClassIndex(chosen)
    find = index.at if index.are_indices(labels) else index.find
    photos = Samples(
        tuple(path.parent / row.values["path"] for row in rows),
        tuple(find(row.values["label"], row.where) for row in rows),
    )
    train, val = (
        photos.take([i for i, trained in enumerate(trains) if trained is part])
        for part in (True, False)
    )
    data = DataSet(printable(path.name), chosen, train, val)
    return data if len(val) else split(data, seed)


class Row(NamedTuple):
    """A row's cells by column, and what to call its place in a message."""

    where: str
    values: dict[str, str]


def read_rows(path: Path) -> list[Row]:
    """The rows of the table, whole or not.  Raises DataError for a file that is no such table."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(
                file, restkey="", restval="", strict=True, skipinitialspace=True
            )
            rows = [
                Row(f"{printable(str(path))} line {reader.line_num}", values) for values in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV ({error})") from error
    if not rows:
        raise DataError(f"{path}: a data file must have a header and a row or more, has none")
    columns = rows[0].values
    if not {"path", "label"} <= set(columns):
        raise DataError(
            f"{path}: a data file must have the columns path and label, "
            f"has {', '.join(filter(None, columns))}"
        )
    return rows


def require_cells(row: Row) -> None:
    """Raises DataError for a row without a photo or without a label."""
    if not row.values["path"] or not row.values["label"]:
        raise DataError(f"{row.where}: path and label must not be empty")


def is_training(value: str, where: str) -> bool:
    if value in TRAIN or value in VALIDATION:
        return value in TRAIN
    raise DataError(f"{where}: split must be one of {', '.join(TRAIN + VALIDATION)}, got {value!r}")
