"""Tar shards in the convention of WebDataset: `KEY.jpg` and beside it `KEY.cls`.

Members whose names agree up to the first dot of the last component are one sample.  The image is
the member with an image's extension; the label is the text of `.cls`, or `label` or `cls` of
`.json`.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections import Counter
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from googlenet.data.folder import is_hidden
from googlenet.data.labels import DataError
from googlenet.images.decode import is_image_extension
from googlenet.runtime.watchdog import beat


class Sample(NamedTuple):
    """An image in a shard: its key and file extension, where its bytes are, and its label."""

    key: str
    extension: str
    offset: int
    size: int
    label: str | None


def read_shard(path: Path, dropped: Counter[str] | None = None) -> list[Sample]:
    """The samples of a shard, in order, without their pixels.

    `dropped` gets how many images the convention leaves out, by the reason.
    Raises DataError for a file that is not a complete tar file.
    """
    images: dict[str, Sample] = {}
    labels: dict[str, str] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for info in tar:
                beat()
                if not info.isfile():
                    continue
                key, extension = split_name(info.name)
                if any(map(is_hidden, PurePosixPath(info.name).parts)):
                    continue
                if dropped is not None and (reason := why_dropped(info.name, images)):
                    dropped[reason] += 1
                if is_image_extension(extension):
                    images[key] = Sample(key, extension, info.offset_data, info.size, None)
                elif extension in (".cls", ".json"):
                    file = tar.extractfile(info)
                    label = label_in(extension, file.read() if file else b"")
                    if label is not None:
                        labels[key] = label
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"{path}: cannot be read as a tar file ({error})") from error
    return [image._replace(label=labels.get(key)) for key, image in images.items()]


def why_dropped(name: str, kept: Collection[str]) -> str:
    """Why a member that is an image by its ending is left out, or takes another's place."""
    key, extension = split_name(name)
    if is_image_extension(extension):
        return "images of a key that another image has" if key in kept else ""
    by_ending = is_image_extension(PurePosixPath(name).suffix.lower())
    return "images with a dot in their name (the key ends at the first dot)" if by_ending else ""


def split_name(name: str) -> tuple[str, str]:
    """A member's key and extension: ("n01/7.b", ".jpg") of "n01/7.b/3.jpg" has key "n01/7.b/3"."""
    path = PurePosixPath(name)
    stem, dot, extension = path.name.partition(".")
    return str(path.with_name(stem)) if stem else name, (dot + extension).lower()


def label_in(extension: str, content: bytes) -> str | None:
    """The label that a member beside the image gives, if it does."""
    try:
        text = content.decode().strip()
        if extension == ".cls":
            return text or None
        values = json.loads(text)
    except (RecursionError, ValueError):
        return None
    found = values.get("label", values.get("cls")) if isinstance(values, dict) else None
    return str(found) if isinstance(found, int | str) else None


def find_shards(folder: Path) -> list[Path]:
    """The shards in a folder and in the folders in it, in the order of their names."""
    return sorted(
        path
        for pattern in ("*.tar", "*/*.tar")
        for path in folder.glob(pattern)
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    )


def shards_named(folder: Path, shards: list[Path], names: Collection[str]) -> list[Path]:
    """Those shards that have one of the names as a word of their path: "a/train-0.tar"."""
    return [
        path
        for path in shards
        if set(re.split(r"[^a-z]+", str(path.relative_to(folder)).lower())) & set(names)
    ]
