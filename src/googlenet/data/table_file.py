"""The rows of a table of images: CSV with any separator, JSON lines, or Parquet."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from googlenet.data.account import INVISIBLE
from googlenet.data.labels import DataError, join_labels
from googlenet.images.archived import ArchivedImage
from googlenet.runtime.errors import printable

# What programs call these columns, in any case, with blanks or hyphens for underscores; the first
# name that a table has is taken, and the others are columns of no meaning.
COLUMNS = {
    "path": (
        "path", "file_name", "filename", "file", "file_path", "filepath", "image_path",
        "image_file_path", "image", "image_file", "image_name", "img", "img_path",
    ),
    "label": (
        "label", "labels", "class", "class_name", "classname", "category", "target", "fine_label",
    ),
    "split": ("split",),
}  # fmt: skip
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
# What starts like this is an archive, and what to do with it.
ARCHIVES = {
    b"PK\3\4": "is a zip archive: unpack it (unzip FILE) and give the folder",
    b"\x1f\x8b": "is compressed by gzip: unpack it (tar xf, gunzip) and give what comes out",
    b"7z\xbc\xaf": "is a 7z archive: unpack it and give the folder",
    b"Rar!": "is a RAR archive: unpack it and give the folder",
}
PARQUET = b"PAR1"


class Row(NamedTuple):
    """A row's cells by column, and what to call its place in a message.

    image: the image itself, where the table holds it.
    """

    where: str
    values: dict[str, str]
    image: ArchivedImage | None = None


class Table(NamedTuple):
    """Rows with the columns path and label, and how they were taken; "" for the plain case."""

    rows: list[Row]
    how: str


def read_table(path: Path) -> Table:
    """The table.  Raises DataError, which says what the file is, for any other file."""
    name = printable(str(path))
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        raise DataError(f"{name}: cannot be read as CSV ({error})") from error
    for magic, what in ARCHIVES.items():
        if start.startswith(magic):
            raise DataError(f"{name}: {what.replace('FILE', name)}")
    if start.startswith(PARQUET):
        from googlenet.data.parquet_file import read_parquet

        names, cells, images, how = read_parquet(path)
        return as_table(name, names, cells, [how], images)
    text, encoding = read_text(path, start)
    said = [f"text in {encoding}"] if encoding else []
    if text.lstrip()[:1] in ("{", "["):
        names, cells = json_rows(name, text)
        return as_table(name, names, cells, ["JSON lines", *said])
    names, cells, separator = csv_rows(name, text)
    plain = [] if separator == "," else [f"columns parted by {SEPARATORS[separator]}"]
    return as_table(name, names, cells, plain + said)


def as_table(
    name: str,
    names: Sequence[str],
    cells: Iterable[tuple[str, dict[str, str]]],
    said: Sequence[str],
    images: Sequence[ArchivedImage | None] = (),
) -> Table:
    """The rows with their columns by the names of COLUMNS."""
    called = column_names(names)
    rows = [
        Row(where, {called.get(k, k): v for k, v in values.items()}, images[i] if images else None)
        for i, (where, values) in enumerate(cells)
    ]
    if not rows:
        raise DataError(f"{name}: a data file must have a header and a row or more, has none")
    if not {"path", "label"} <= {*called.values()}:
        raise DataError(missing_columns(name, names))
    renamed = [f"{old} is the {new}" for old, new in called.items() if plain_name(old) != new]
    return Table(rows, "; ".join([*said, *renamed]))


def missing_columns(name: str, names: Sequence[str]) -> str:
    other = ", ".join(filter(None, names))
    message = f"{name}: a data file must have the columns path and label, has {printable(other)}"
    if any(Path(cell.split(" ")[0]).suffix for cell in names):
        message += "; is its first line a row? Begin it with the line path,label"
    return message


def plain_name(column: str) -> str:
    return strip_blanks(column).lower().replace(" ", "_").replace("-", "_")


def column_names(names: Sequence[str]) -> dict[str, str]:
    """Which columns are the path, the label, and the split."""
    by_name: dict[str, str] = {}
    for name in names:
        by_name.setdefault(plain_name(name), name)
    found = {}
    for column, known in COLUMNS.items():
        if first := next((by_name[k] for k in known if k in by_name), None):
            found[first] = column
    return found


def read_text(path: Path, start: bytes) -> tuple[str, str]:
    """A file's text, and its encoding where it is not UTF-8."""
    encoding = "utf-8-sig"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif len(start) > 3 and start[1:4:2] == b"\0\0" and b"\0" not in start[0:4:2]:
        encoding = "utf-16-le"
    elif len(start) > 3 and start[0:4:2] == b"\0\0" and b"\0" not in start[1:4:2]:
        encoding = "utf-16-be"
    elif b"\0" in start:
        raise DataError(
            f"{path}: a data file must be a CSV file, which is text; this is not: "
            "a model, an image or an archive?"
        )
    try:
        with path.open(encoding=encoding, newline="") as file:
            return file.read(), encoding.upper()[:6] if encoding != "utf-8-sig" else ""
    except UnicodeError as error:
        raise DataError(
            f"{path}: cannot be read as CSV ({error}): save it as UTF-8 "
            '("CSV UTF-8" in spreadsheets)'
        ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read as CSV ({error})") from error


def csv_rows(name: str, text: str) -> tuple[list[str], list[tuple[str, dict[str, str]]], str]:
    """The header, each row with its place, and the separator, which the header tells."""
    separator = find_separator(text)
    stream = StringIO(text, newline="")
    skipped = text[:4].lower() == "sep="  # which spreadsheets write for each other
    if skipped:
        stream.readline()
    reader = csv.DictReader(
        stream, restval="", strict=True, skipinitialspace=True, delimiter=separator
    )
    try:
        rows = [
            (where := f"{name} line {reader.line_num + skipped}", read_cells(where, cells))
            for cells in reader
        ]
        header = [*map(strip_blanks, reader.fieldnames or ())]
    except csv.Error as error:
        raise DataError(f"{name}: cannot be read as CSV ({error})") from error
    return header, rows, separator


def find_separator(text: str) -> str:
    """The separator with which the header has a path and a label; else the comma."""
    if text[:4].lower() == "sep=" and text[4:5] in SEPARATORS:
        return text[4]
    line = text.lstrip("\r\n").split("\n", 1)[0]
    for separator in SEPARATORS:
        cells = [cell.strip().strip('"') for cell in line.split(separator)]
        if {"path", "label"} <= {*column_names(cells).values()}:
            return separator
    return ","


def read_cells(where: str, cells: dict[Any, Any]) -> dict[str, str]:
    """A row without blanks around its cells.  Raises DataError for more cells than columns."""
    more = [cell for cell in cells.pop(None, ()) if cell.strip()]
    if more:
        raise DataError(
            f"{where}: has {len(cells) + len(more)} cells, the header {len(cells)}: "
            "quote a cell that holds a comma"
        )
    return {strip_blanks(name): strip_blanks(cell) for name, cell in cells.items()}


def strip_blanks(cell: str) -> str:
    return cell.strip().strip(INVISIBLE).strip()


def json_rows(name: str, text: str) -> tuple[list[str], list[tuple[str, dict[str, str]]]]:
    """Objects, one per line, or in one list."""
    found = []
    try:
        if text.lstrip().startswith("["):
            items = [(f"{name} item {i}", item) for i, item in enumerate(json.loads(text), 1)]
        else:
            lines = enumerate(text.split("\n"), 1)
            items = [(f"{name} line {i}", json.loads(line)) for i, line in lines if line.strip()]
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: cannot be read as JSON lines ({error})") from error
    for where, item in items:
        if not isinstance(item, Mapping):
            raise DataError(f"{where}: must be an object with path and label, is not")
        found.append((where, {strip_blanks(key): as_cell(cell) for key, cell in item.items()}))
    return [*dict.fromkeys(key for _, row in found for key in row)], complete(found)


def complete(rows: list[tuple[str, dict[str, str]]]) -> list[tuple[str, dict[str, str]]]:
    names = dict.fromkeys((key for _, row in rows for key in row), "")
    return [(where, {**names, **row}) for where, row in rows]


def as_cell(value: Any) -> str:
    """A value as it stands in a CSV file: several labels with bars between them."""
    if value is None:
        return ""
    if isinstance(value, list):
        return join_labels(map(as_cell, value))
    return strip_blanks(str(value))
