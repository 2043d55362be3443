"""Zip files that cannot explode: torch.save's, and the one that inception5h comes in."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from googlenet.weights.weight_file import MAX_BYTES, WeightFileError

MAX_ENTRIES = 10_000
MAX_RATIO = 100  # weights are noise: inception5h.zip packs its graph by a tenth
ENTRY = re.compile(rb"PK\x01\x02")  # starts an entry of the directory


@contextmanager
def open_zip(path: Path, data: memoryview) -> Iterator[zipfile.ZipFile]:
    """The archive, its directory checked before anything of it is read.

    The entries are counted before `zipfile` makes an object of each; declared sizes are held
    against the file's own.
    """
    if sum(1 for _ in islice(ENTRY.finditer(data), MAX_ENTRIES + 1)) > MAX_ENTRIES:
        raise WeightFileError(f"a zip of weights may have {MAX_ENTRIES:,} entries, this has more")
    with damage(), zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    declared = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    if declared > min(MAX_BYTES, MAX_RATIO * packed) or packed > len(data):
        raise WeightFileError(
            f"is not a zip of weights: it declares {declared:,} bytes packed in {packed:,}"
        )
    with zipfile.ZipFile(path) as archive:
        yield archive


@contextmanager
def damage() -> Iterator[None]:
    """Whatever zipfile and zlib raise in a damaged file, as one kind of error."""
    try:
        yield
    except Exception as error:
        # BadZipFile, zlib.error, UnicodeDecodeError, struct.error, NotImplementedError and more.
        raise WeightFileError(f"is a damaged zip file ({error})") from error


def read_entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """An entry's bytes, never more of them than it declares; zipfile checks their CRC."""
    with damage(), archive.open(name) as stream:
        return stream.read(archive.getinfo(name).file_size)


def entry_ending(archive: zipfile.ZipFile, ending: str) -> str | None:
    """The name of the archive's first entry that ends so."""
    return next((name for name in archive.namelist() if name.endswith(ending)), None)
