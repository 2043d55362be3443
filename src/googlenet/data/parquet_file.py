"""Tables in Parquet files, as Hugging Face writes them: images as bytes, names of classes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from googlenet.data.labels import DataError
from googlenet.images.archived import ArchivedImage
from googlenet.runtime.errors import printable


@dataclass(frozen=True)
class ParquetColumn:
    """The images of a file, in memory: `offset` is the number of a row."""

    path: Path
    contents: Any  # pyarrow.ChunkedArray

    def __str__(self) -> str:
        return str(self.path)

    def __hash__(self) -> int:
        return hash(self.path)

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self.contents[offset].as_py())


def read_parquet(
    path: Path,
) -> tuple[list[str], list[tuple[str, dict[str, str]]], list[ArchivedImage | None], str]:
    """Columns, rows with their places, the images where the file has them, and what to say.

    Raises DataError for a damaged file, and without pyarrow.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(
            f"{path}: Parquet files need pyarrow: pip install 'googlenet[parquet]'"
        ) from error
    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({printable(str(error))})") from error
    where = printable(str(path))
    columns: dict[str, list[str]] = {}
    images: list[ArchivedImage | None] = []
    names = class_names(table.schema.metadata or {})
    for column in table.column_names:
        values = table.column(column)
        if not images and is_images(values.type):
            images, columns["path"] = images_of(path, values)
        elif not pyarrow.types.is_nested(values.type) and not is_bytes(values.type):
            columns.setdefault(column, [*as_labels(values.to_pylist(), names.get(column))])
    rows = [
        (f"{where} row {i + 1}", {name: cells[i] for name, cells in columns.items()})
        for i in range(table.num_rows)
    ]
    return [*columns], rows, images, "Parquet" + (" with images" if images else "")


def is_bytes(kind: Any) -> bool:
    return str(kind) in ("binary", "large_binary")


def is_images(kind: Any) -> bool:
    """Whether a column holds files: bytes, or bytes with a path."""
    from pyarrow import types

    if types.is_struct(kind):
        return any(f.name == "bytes" and is_bytes(f.type) for f in kind)
    return is_bytes(kind)


def images_of(path: Path, values: Any) -> tuple[list[ArchivedImage | None], list[str]]:
    """The images and their paths, which may be none: then `#` and the number of the row."""
    import pyarrow.compute as pc

    contents, paths = values, [None] * len(values)
    if not is_bytes(values.type):
        fields = [field.name for field in values.type]
        contents = pc.struct_field(values, "bytes")
        if "path" in fields:
            paths = pc.struct_field(values, "path").to_pylist()
    if contents.null_count:
        raise DataError(f"{path}: has rows without the bytes of their image")
    column = ParquetColumn(path, contents)
    sizes = pc.binary_length(contents).to_pylist()
    repeated = len({p for p in paths if p}) < len(paths)  # a name that says which image it is
    called = [f"#{i}" if repeated else str(p) for i, p in enumerate(paths)]
    images = [ArchivedImage(column, i, sizes[i], called[i]) for i in range(len(called))]
    return [*images], called


def as_labels(values: list[Any], names: list[str] | None) -> list[str]:
    """Cells as text: a number by the name of its class."""
    return [
        "" if value is None
        else names[value] if names and isinstance(value, int) and 0 <= value < len(names)
        else str(value)
        for value in values
    ]  # fmt: skip


def class_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """By column, the names of Hugging Face's ClassLabel."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {
            column: [*map(str, feature["names"])]
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (KeyError, TypeError, ValueError, AttributeError):  # another program's, or none
        return {}
