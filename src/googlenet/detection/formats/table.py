"""CSV: a row per box, path,label,x1,y1,x2,y2[,split]; an image without boxes has empty cells."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from googlenet.data.csv_file import split_of
from googlenet.data.labels import DataError
from googlenet.data.table_file import Row, plain_name, read_table
from googlenet.detection.formats.raw import RawBox, RawData, RawImage

# What programs call the sides of a box.
SIDES = (
    ("x1", "xmin", "x_min", "left"),
    ("y1", "ymin", "y_min", "top"),
    ("x2", "xmax", "x_max", "right"),
    ("y2", "ymax", "y_max", "bottom"),
)
COLUMNS = ("path", "label", "x1", "y1", "x2", "y2", "split")
RELATIVE = 1.001  # a file's largest number, where its boxes are shares of the image's sides


def is_box_table(path: Path) -> bool:
    """Whether a file is a table whose header names the four sides."""
    if path.suffix.lower() not in (".csv", ".tsv"):
        return False
    try:
        rows = read_table(path).rows
    except DataError:
        return False
    return len(side_columns(rows[0])) == len(SIDES)


def side_columns(row: Row) -> list[str]:
    """The row's names for the four sides, fewer where it lacks one."""
    by_name = {plain_name(name): name for name in row.values}
    found = (next((by_name[name] for name in names if name in by_name), "") for names in SIDES)
    return [name for name in found if name]


def read_box_table(path: Path) -> RawData:
    """The boxes of a table.  Raises DataError, which names the line, for a damaged one."""
    rows, how = read_table(path)
    sides, data = side_columns(rows[0]), RawData(f"CSV ({how})" if how else "CSV", [])
    boxes: dict[str, list[RawBox]] = {}
    splits: dict[str, str] = {}
    for row in rows:
        name, label = row.values["path"], row.values["label"]
        if "split" in row.values:
            splits.setdefault(name, split_of(row))
        found, cells = boxes.setdefault(name, []), [row.values[side] for side in sides]
        if not label and not any(cells):
            continue  # an image without boxes
        try:
            x1, y1, x2, y2 = (float(cell.replace(",", ".")) for cell in cells)
        except ValueError:
            detail = f"x1, y1, x2, y2 must be numbers, got {', '.join(map(repr, cells))}"
            data.problems.append((row.where, "bad-annotation", detail))
        else:
            found.append(RawBox(label, (x1, y1, x2, y2)))
    relative = max((v for b in boxes.values() for each in b for v in each.box), default=0) > 0
    relative &= all(v <= RELATIVE for b in boxes.values() for each in b for v in each.box)
    if relative:
        data.how = f"{data.how}, boxes as shares of the image's sides"
    for name, found in boxes.items():
        image = path.parent / name
        there = image if image.is_file() else None
        data.images.append(
            RawImage(name, there, tuple(found), None, splits.get(name, ""), relative)
        )
    return data


def box_table(rows: Iterable[Sequence[object]]) -> str:
    """The text of a table from rows in the order of COLUMNS."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return text.getvalue()
