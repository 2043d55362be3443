"""Files of embeddings: Parquet, NumPy's .npz, CSV.  Written a few rows at a time, read whole.

One row per image, in the order given: its path, its embedding, and an error.  The embedding of an
unreadable image is null in Parquet, NaN in .npz, and empty in CSV.
"""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from googlenet.insight.embeddings import Embedding
from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.runtime.files import write_atomically

ROW_GROUP = 1024  # rows of a Parquet file written at a time
FACTS = "googlenet"  # the key of what all rows share


def write_embeddings(
    path: Path,
    embeddings: Iterable[Embedding],
    shape: tuple[int, int],
    facts: Mapping[str, str],
) -> None:
    """Write a file beside `path` and put it in its place.

    shape: the numbers of images and of dimensions.  facts: what all rows share, kept in Parquet
    and .npz.  Raises UsageError for an unknown ending, WriteError where it cannot be written.
    """
    write = writer_for(path)
    write_atomically(path, lambda target: write(target, embeddings, shape, dict(facts)))


def writer_for(path: Path) -> Callable[[Path, Iterable[Embedding], tuple[int, int], Any], None]:
    """Raises UsageError for an unknown ending, GoogLeNetError for a package that is missing."""
    if path.suffix not in WRITERS:
        raise UsageError(f"--out must end in .parquet, .npz or .csv, got {path}")
    if path.suffix == ".parquet":
        parquet()
    return WRITERS[path.suffix]


def write_csv(
    target: Path, embeddings: Iterable[Embedding], shape: tuple[int, int], _facts: object
) -> None:
    row = ",".join(["%.9g"] * shape[1])  # as many digits as float32 has
    # Undecodable bytes in a path are escaped, as `predict` does.
    with target.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        write = csv.writer(file, lineterminator="\n")
        write.writerow(["path", "error", *(f"e{i}" for i in range(shape[1]))])
        for each in embeddings:
            numbers = [""] * shape[1]
            if each.vector is not None:
                numbers = (row % tuple(each.vector)).split(",")
            write.writerow([each.path, each.error or "", *numbers])


def write_npz(
    target: Path, embeddings: Iterable[Embedding], shape: tuple[int, int], facts: dict[str, str]
) -> None:
    """Keys: path (N,), embedding (N, D) float32, error (N,), empty where there is none."""
    paths, errors = [], []
    missing = np.full(shape[1], np.nan, np.float32)
    with zipfile.ZipFile(target, "w") as archive:
        # With a date of its own each file of the same rows would have other bytes.
        with archive.open(zipfile.ZipInfo("embedding.npy"), "w", force_zip64=True) as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_2_0(file, header)
            for each in embeddings:
                vector = missing if each.vector is None else each.vector
                file.write(vector.astype("<f4").tobytes())
                paths.append(each.path)
                errors.append(each.error or "")
        texts = {"path": paths, "error": errors, FACTS: json.dumps(facts)}
        for name, value in texts.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.array(value, dtype=np.str_), allow_pickle=False)


def write_parquet(
    target: Path, embeddings: Iterable[Embedding], shape: tuple[int, int], facts: dict[str, str]
) -> None:
    """Columns: path, embedding (a list of D float32, of fixed size), error."""
    pa, pq = parquet()
    schema = pa.schema(
        [("path", pa.string()), ("embedding", pa.list_(pa.float32(), shape[1])),
         ("error", pa.string())],
        metadata={FACTS: json.dumps(facts)},
    )  # fmt: skip
    rows = iter(embeddings)
    with pq.ParquetWriter(target, schema) as file:
        while group := list(islice(rows, ROW_GROUP)):
            columns = {
                "path": [text(each.path) for each in group],
                "embedding": [each.vector for each in group],
                "error": [each.error and text(each.error) for each in group],
            }
            file.write_table(pa.table(columns, schema=schema))


WRITERS = {".csv": write_csv, ".npz": write_npz, ".parquet": write_parquet}


def read_embeddings(path: Path) -> tuple[list[str], NDArray[np.float32], dict[str, str]]:
    """Paths, embeddings (N, D) with NaN for unreadable images, and what the rows share.

    Raises UsageError for another kind of file, GoogLeNetError for one that cannot be read.
    """
    if path.suffix not in (".npz", ".parquet"):
        raise UsageError(f"a file of embeddings must end in .npz or .parquet, got {path}")
    read = read_npz if path.suffix == ".npz" else read_parquet
    if path.suffix == ".parquet":
        parquet()
    try:
        paths, vectors, facts = read(path)
        if vectors.dtype.kind != "f" or vectors.shape[:-1] != (len(paths),):
            raise ValueError(f"its embeddings are {vectors.dtype} {vectors.shape}")
        if not all(isinstance(name, str) for name in paths):
            raise ValueError("its paths are not text")
        return paths, vectors.astype(np.float32, copy=False), dict(facts)
    except Exception as error:  # zip, NumPy and Arrow each have many kinds, down to MemoryError
        reason = " ".join(str(error).split())[:200]
        raise GoogLeNetError(f"{path}: is not a file of embeddings ({reason})") from error


def read_npz(path: Path) -> tuple[list[str], NDArray[np.float32], dict[str, str]]:
    with np.load(path, allow_pickle=False) as file:
        return file["path"].tolist(), file["embedding"], json.loads(str(file[FACTS]))


def read_parquet(path: Path) -> tuple[list[str], NDArray[np.float32], dict[str, str]]:
    pa, pq = parquet()
    table = pq.read_table(path)
    column = table["embedding"].combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # of no rows
        column = pa.concat_arrays(column.chunks or [pa.array([], column.type)])
    vectors = np.full((len(table), column.type.list_size), np.nan, np.float32)
    vectors[column.is_valid().to_numpy(zero_copy_only=False)] = np.reshape(
        column.flatten().to_numpy(), (-1, column.type.list_size)
    )
    return table["path"].to_pylist(), vectors, json.loads(table.schema.metadata[FACTS.encode()])


def parquet() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise GoogLeNetError(
            "Parquet files need pyarrow: pip install 'googlenet[parquet]'"
        ) from None
    return pyarrow, parquet


def text(value: str) -> str:
    """Parquet has no text that is not Unicode: undecodable bytes are escaped, as in CSV."""
    return value.encode("utf-8", "backslashreplace").decode()
