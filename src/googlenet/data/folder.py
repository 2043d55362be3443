"""A folder of images: `train/` and `val/` with a folder a class, or one folder of classes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from googlenet.data.dataset import (
    Class,
    ClassIndex,
    DataError,
    DataSet,
    Samples,
    class_from_label,
    random_split,
)
from googlenet.images.decode import EXTENSIONS
from googlenet.runtime.errors import printable
from googlenet.runtime.watchdog import beat

TRAIN = ("train", "training")
VALIDATION = ("val", "valid", "validation", "test")


Unlisted = Callable[[OSError], object]  # what is done about a folder that cannot be listed


def refuse(error: OSError) -> NoReturn:
    """A folder that cannot be listed may hold a class: without it the labels would be others."""
    raise DataError(
        f"{printable(str(error.filename))}: the folder cannot be listed ({error.strerror})"
    ) from error


def read_folder(root: Path, seed: int | None, classes: Sequence[Class] | None = None) -> DataSet:
    """The data set in a folder; with `classes`, labelled by that list and no other.

    Raises DataError for a folder without images, or with a class that the list lacks.
    """
    train, val = find_split(root, TRAIN), find_split(root, VALIDATION)
    if not train and not val:
        train = class_folders(root)
    if not train and not val:
        raise DataError(f"{root}: a data folder must have a folder of images per class, has none")
    # The class list is the training folder's; validation may lack a class but bring none.
    chosen = tuple(classes) if classes else tuple(map(class_from_label, sorted(train or val)))
    data = DataSet(
        printable(root.resolve().name), chosen, collect(train, chosen), collect(val, chosen)
    )
    return data if val else random_split(data, seed)


def find_split(
    root: Path, names: Sequence[str], on_error: Unlisted = refuse
) -> dict[str, list[Path]]:
    """The class folders of the part that goes by one of the names, none if there is no such part.

    A folder without class folders is no part: it is a class of that name, or has no labels.
    """
    parts = (class_folders(root / name, on_error) for name in names if (root / name).is_dir())
    return next(filter(None, parts), {})


def class_folders(folder: Path, on_error: Unlisted = refuse) -> dict[str, list[Path]]:
    """The images of each class folder, in the order of their names; empty classes left out."""
    found = {}
    for path in subfolders(folder, on_error):
        images = list_images(path, on_error)
        if images:
            found[path.name] = images
    return found


def subfolders(folder: Path, on_error: Unlisted = refuse) -> list[Path]:
    """The folders in a folder, and links to some, in the order of their names; none hidden."""
    try:
        return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError as error:
        on_error(error)
        return []


def list_images(folder: Path, on_error: Unlisted = refuse) -> list[Path]:
    """Every image below a folder, by its extension, in the order of the names; none hidden.

    Links to files count as files, links to folders are not followed.  `on_error` is called with
    the error for a folder that cannot be listed: by default a DataError, as it may hold anything.
    """
    found = []
    for place, folders, files in os.walk(folder, onerror=on_error):
        beat()
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in files if is_image(name)]
    return sorted(found)


def is_image(name: str) -> bool:
    """Whether a file is an image by its name, and not hidden."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS  # noqa: PTH122


def collect(images: dict[str, list[Path]], classes: Sequence[Class]) -> Samples:
    index = ClassIndex(classes)
    pairs = [
        (path, index.find(name, printable(str(paths[0].parent))))
        for name, paths in images.items()
        for path in paths
    ]
    return Samples(tuple(path for path, _ in pairs), tuple(label for _, label in pairs))
