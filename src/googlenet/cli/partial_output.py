"""What an interrupted `predict --out FILE` left in FILE.part, and whether it can be resumed."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from googlenet.runtime.errors import GoogLeNetError, UsageError


class Kept(NamedTuple):
    """The rows of FILE.part that stay: their bytes, with a header's, and their numbers."""

    bytes: int = 0
    rows: int = 0
    errors: int = 0  # of images that could not be read


def part_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def plan_of(path: Path) -> Path:
    """Beside FILE.part: what determines its rows."""
    return path.with_name(f"{path.name}.part.json")


def kept_rows(path: Path, plan: dict[str, Any], batch: int) -> Kept:
    """The rows to resume after, in whole batches so that the batches stay the same.

    None of them where there is no FILE.part.  Raises UsageError where it is of another plan.
    """
    part, known = part_of(path), plan_of(path)
    if not part.exists():
        return Kept()
    try:
        begun = json.loads(known.read_bytes())
        differing = [name for name in plan if begun.get(name) != plan[name]]
    except (OSError, ValueError, AttributeError) as error:
        raise GoogLeNetError(
            f"--resume needs {known}, which says what {part} is of ({error}): leave --resume out"
        ) from error
    if differing:
        raise UsageError(
            f"--resume must have the options of the first run, got another {differing[0]} than "
            f"that of {part}"
        )
    kept, size, errors = Kept(), 0, 0
    with part.open("rb") as file:
        if path.suffix != ".jsonl":
            size = len(next(csv_rows(file), b""))
            kept = Kept(size)
        for number, row in enumerate(csv_rows(file) if path.suffix != ".jsonl" else file, 1):
            if not row.endswith(b"\n"):
                break
            size += len(row)
            errors += has_error(row, path.suffix)
            if number % batch == 0:
                kept = Kept(size, number, errors)
    return kept


def csv_rows(file: BinaryIO) -> Iterator[bytes]:
    """Whole rows, whatever line breaks their quoted cells have; not the torn last one."""
    row = b""
    for line in file:
        row += line
        if row.endswith(b"\n") and row.count(b'"') % 2 == 0:
            yield row
            row = b""


def has_error(row: bytes, suffix: str) -> bool:
    text = row.decode("utf-8")
    if suffix == ".jsonl":
        return json.loads(text)["error"] is not None
    return next(csv.reader([text]))[-1] != ""
